-- Accounts and sessions of the session's tenant, and those without the entry of the ledger that says who made them.
-- Where months have left the database, what began before its oldest row has its entry in the archive.
with oldest as (
    select case when not exists (select from audit_archives where released_at is not null) then '-infinity'
                else coalesce((select recorded_at from audit_logs order by seq limit 1), 'infinity') end as at
)
select (select count(*) from audit_users), (select count(*) from audit_sessions),
       (select string_agg(u.user_id::text, ', ' order by u.created_at) from audit_users u, oldest
        where u.created_at >= oldest.at
          and not exists (select from audit_logs l
                          where l.entity_type = 'audit_account' and l.event_type = 'audit.account.created'
                            and l.entity_id = u.user_id::text)),
       (select string_agg(s.session_id::text, ', ' order by s.begun_at) from audit_sessions s, oldest
        where s.begun_at >= oldest.at
          and not exists (select from audit_logs l
                          where l.entity_type = 'audit_account' and l.event_type = 'audit.account.login'
                            and l.entity_id = s.user_id::text
                            and l.outcome = 'success'
                            and convert_from(l.entry, 'UTF8')::json -> 'details' ->> 'session' = s.session_id::text))
