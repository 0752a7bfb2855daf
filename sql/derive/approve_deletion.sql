-- Record a person's approval, and count those there are.
select audit_approve_deletion(%(month)s, %(approver_ref)s, %(seq)s)
