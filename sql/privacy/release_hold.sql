-- Release a hold that is not released; nothing where it is, or is none.
update audit_legal_holds set released_at = clock_timestamp(), released_by = %(by)s, release_reason = %(reason)s
where tenant_id = %(tenant_id)s and hold_id = %(hold_id)s and released_at is null
