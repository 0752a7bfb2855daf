-- An erased person's account: nobody logs in with it again, and its sessions have ended. The keyed hash of the login stays,
-- so that nobody else is ever given it.
with closed as (
    update audit_users set password_hash = '', former_hashes = '{}', permissions = '{}',
                           disabled_at = coalesce(disabled_at, clock_timestamp())
    where tenant_id = %(tenant_id)s and user_id = %(key)s::uuid
)
update audit_sessions set ended_at = clock_timestamp(), end_reason = 'erased'
where tenant_id = %(tenant_id)s and user_id = %(key)s::uuid and ended_at is null
