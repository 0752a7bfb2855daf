-- Queue incidents for the destinations that want them; the key lets each be queued once per severity and destination.
with ranked as (
    select *, array_position(array['low', 'medium', 'high', 'critical'], alert_severity) as rank
    from audit_incidents
    where state = 'open' and alert_score is not null and last_at > clock_timestamp() - %(within)s::interval
)
insert into audit_alert_deliveries (tenant_id, incident_id, severity, integration_id)
select i.tenant_id, i.incident_id, i.alert_severity, g.integration_id
from ranked i
join audit_integrations g on g.tenant_id = i.tenant_id and g.enabled and g.created_at <= i.changed_at
left join lateral (
    select t.threshold from audit_alert_thresholds t where t.tenant_id = i.tenant_id
    order by t.changed_at desc, t.change_id limit 1) t on true
where (i.alert_score >= coalesce(t.threshold, %(base)s) or i.alert_severity = 'critical')
  and i.rank >= array_position(array['low', 'medium', 'high', 'critical'], g.minimum_severity)
  -- One that became less grave again is not told a second time.
  and not exists (
      select from audit_alert_deliveries d
      where d.tenant_id = i.tenant_id and d.incident_id = i.incident_id and d.integration_id = g.integration_id
        and array_position(array['low', 'medium', 'high', 'critical'], d.severity) >= i.rank)
on conflict (tenant_id, incident_id, severity, integration_id) do nothing
