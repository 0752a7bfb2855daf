-- Since when a person is known, and since when no more.
select created_at, erased_at from audit_subjects where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
