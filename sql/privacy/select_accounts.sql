-- Accounts and report recipients that bear one of a person's names.
select 'account', user_id::text from audit_users
where tenant_id = %(tenant_id)s and lower(login) = any (%(names)s)
union all
select 'scheduled_report', report_id::text from audit_scheduled_reports
where tenant_id = %(tenant_id)s and exists (select from unnest(recipients) as r where lower(r) = any (%(names)s))
