-- The first seq of a tenant that has no text yet.
select coalesce(max(seq) + 1, 0) from audit_event_texts where tenant_id = %(tenant_id)s
