-- Claim the message that is due longest, with its report. A claim that ran out is of a process that died between sending
-- and recording, perhaps after the mail server had it; after the last attempt it is dead.
with spent as (
    update audit_report_deliveries set state = 'dead', claimed_until = null,
           last_error = coalesce(last_error, 'the process that sent it ended before it recorded an answer')
    where state = 'sending' and claimed_until <= %(now)s and attempts >= %(most)s
), due as (
    select d.tenant_id, d.delivery_id from audit_report_deliveries d
    join audit_scheduled_reports r on r.tenant_id = d.tenant_id and r.report_id = d.report_id and r.enabled
    where (d.state = 'waiting' and d.next_try_at <= %(now)s)
       or (d.state = 'sending' and d.claimed_until <= %(now)s and d.attempts < %(most)s)
    order by d.next_try_at, d.due_at, d.delivery_id
    limit 1 for update of d skip locked
), claimed as (
    update audit_report_deliveries d
    set state = 'sending', attempts = d.attempts + 1, last_tried_at = %(now)s,
        claimed_until = %(now)s + %(claim)s::interval
    from due where d.tenant_id = due.tenant_id and d.delivery_id = due.delivery_id
    returning d.*
)
select c.tenant_id, c.delivery_id, c.report_id, c.due_at, c.attempts, c.claimed_until, c.sealed_recipient, r.kind,
       r.delivery, d.since, d.output_key, d.output_digest, d.made_at
from claimed c
join audit_scheduled_reports r on r.tenant_id = c.tenant_id and r.report_id = c.report_id
join audit_due_reports d on d.tenant_id = c.tenant_id and d.report_id = c.report_id and d.due_at = c.due_at
