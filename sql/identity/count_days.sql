-- What happened on each UTC day of a tenant. A failed login is an event that speaks of logging in and did not succeed.
select (recorded_at at time zone 'UTC')::date, count(*), min(seq), max(seq),
       count(*) filter (where outcome in ('failure', 'denied')
                          and event_type ~* '(log[-_. ]?[io]n|sign[-_. ]?in|authenticat)'),
       count(*) filter (where event_type = 'audit.account.locked')
from audit_logs
where tenant_id = %(tenant_id)s and recorded_at >= %(since)s and recorded_at < %(until)s
group by 1
