-- Who approved the deletion of a tenant's archives, and where the ledger says so.
select month, approver_ref, seq, approved_at from audit_archive_approvals
where tenant_id = %(tenant_id)s
order by month, approved_at
