-- Accounts and sessions of the session's tenant, and those without the entry of the ledger that says who made them.
-- What began before the database's oldest row may have its entry in the archive, which verification reads.
with oldest as (select coalesce((select recorded_at from audit_logs order by seq limit 1), 'infinity') as at)
select (select count(*) from audit_users), (select count(*) from audit_sessions),
       (select string_agg(u.user_id::text, ', ' order by u.created_at) from audit_users u, oldest
        where (u.created_at >= oldest.at or oldest.at = 'infinity')
          and not exists (select from audit_logs l
                          where l.entity_type = 'audit_account' and l.event_type = 'audit.account.created'
                            and l.entity_id = u.user_id::text)),
       (select string_agg(s.session_id::text, ', ' order by s.begun_at) from audit_sessions s, oldest
        where (s.begun_at >= oldest.at or oldest.at = 'infinity')
          and not exists (select from audit_logs l
                          where l.entity_type = 'audit_account' and l.event_type = 'audit.account.login'
                            and l.entity_id = s.user_id::text
                            and l.outcome = 'success'
                            and convert_from(l.entry, 'UTF8')::json -> 'details' ->> 'session' = s.session_id::text))
