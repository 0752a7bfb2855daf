-- Alerts that are to be sent to destinations that are switched on: those due by now, or all.
select count(*) from audit_alert_deliveries d
join audit_integrations g on g.tenant_id = d.tenant_id and g.integration_id = d.integration_id and g.enabled
where d.state in ('waiting', 'sending')
  and (not %(due)s::boolean
       or (d.state = 'waiting' and d.next_try_at <= clock_timestamp())
       or (d.state = 'sending' and d.claimed_until <= clock_timestamp()))
