-- Whom of a tenant the lake must not lead to.
select actor_ref from audit_subjects where tenant_id = %(tenant_id)s and erased_at is not null
