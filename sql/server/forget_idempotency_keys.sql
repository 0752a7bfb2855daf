-- Delete keys of the session's tenant whose 24 hours are over: the given ones, and those among the first few and the
-- next few of each. Whatever order clients make keys in, the table stays in bounds, at a few index entries a request.
--
-- The given ones are locked already. Of the others those that another transaction has are left to it: nobody may wait
-- here, since two that wait for each other's rows would both be lost. There are not many, since each takes a lock.
with expired as materialized (
    select key from audit_idempotency_keys
    where created_at <= clock_timestamp() - interval '24 hours'
      and key in (
          select unnest(%(keys)s::text[])
          union all (select key from audit_idempotency_keys order by key limit 20)
          union all (
              select next.key
              from unnest(%(keys)s::text[]) as given (key),
                   lateral (select key from audit_idempotency_keys k where k.key > given.key order by k.key limit 20)
                       as next))
), held as materialized (
    select key from expired where key = any (%(keys)s::text[])
    union all
    select key
    from (select key from expired where key <> all (%(keys)s::text[])
          limit 20 + 2 * cardinality(%(keys)s::text[])) as others
    where pg_try_advisory_xact_lock(
        hashtextextended(key, hashtextextended(current_setting('app.current_tenant_id'), 0)))
)
delete from audit_idempotency_keys where key in (select key from held)
