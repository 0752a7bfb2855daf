-- Claim the alert that is due longest, with its destination and its incident as it is told now. A claim that ran out is of
-- a process that died between sending and recording, perhaps after the receiver had it; after the last attempt it is dead.
with spent as (
    update audit_alert_deliveries set state = 'dead', claimed_until = null,
           last_error = coalesce(last_error, 'the process that sent it ended before it recorded an answer')
    where state = 'sending' and claimed_until <= clock_timestamp() and attempts >= %(most)s
), due as (
    select d.tenant_id, d.delivery_id from audit_alert_deliveries d
    join audit_integrations g on g.tenant_id = d.tenant_id and g.integration_id = d.integration_id and g.enabled
    where ((d.state = 'waiting' and d.next_try_at <= clock_timestamp())
           or (d.state = 'sending' and d.claimed_until <= clock_timestamp() and d.attempts < %(most)s))
      and d.integration_id <> all (%(resting)s::uuid[])
    order by d.next_try_at, d.delivery_id
    limit 1 for update of d skip locked
), claimed as (
    update audit_alert_deliveries d
    set state = 'sending', attempts = d.attempts + 1, last_tried_at = clock_timestamp(),
        claimed_until = clock_timestamp() + %(claim)s::interval
    from due where d.tenant_id = due.tenant_id and d.delivery_id = due.delivery_id
    returning d.*
)
select c.tenant_id, c.delivery_id, c.integration_id, c.attempts, c.claimed_until, g.kind, g.sealed_config, c.cause,
       c.queued_at, c.incident_id, c.severity, i.actor_ref, i.first_at, i.last_at, i.anomalies, i.suppressed, i.score, i.title, i.meanings, i.story
from claimed c
join audit_integrations g on g.tenant_id = c.tenant_id and g.integration_id = c.integration_id
left join audit_incidents i on c.cause = 'incident' and i.tenant_id = c.tenant_id and i.incident_id = c.incident_id
