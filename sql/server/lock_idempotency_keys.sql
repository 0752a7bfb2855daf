-- Make this transaction see one tenant and be alone with these keys of it until it ends, or fail when that takes longer
-- than the lock time-out. Locks are taken in ascending
-- order, and before those of the heads, so that two transactions never wait for each other.
select pg_advisory_xact_lock(number)
from (
    select hashtextextended(key, hashtextextended(tenant.id, 0)) as number
    from (select set_config('app.current_tenant_id', %(tenant_id)s::text, true) as id,
                 set_config('lock_timeout', %(lock_timeout_ms)s::text, true)) as tenant,
         unnest(%(keys)s::text[]) as key
    order by number
) as locks
