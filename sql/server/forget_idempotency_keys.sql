-- Delete keys of the session's tenant whose 24 hours are over: the given ones, and those among the first few and the
-- next few of each. Whatever order clients make keys in, the table stays in bounds, at a few index entries a request.
delete from audit_idempotency_keys
where created_at <= clock_timestamp() - interval '24 hours'
  and key in (
      select unnest(%(keys)s::text[])
      union all (select key from audit_idempotency_keys order by key limit 20)
      union all (
          select next.key
          from unnest(%(keys)s::text[]) as given (key),
               lateral (select key from audit_idempotency_keys k where k.key > given.key order by k.key limit 20) as next))
