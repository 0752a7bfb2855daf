-- Record that an archive is deleted; refused without two approvals.
select audit_delete_archive(%(month)s)
