-- Alerts of all tenants by state.
select state, count(*) from audit_alert_deliveries group by state
order by array_position(array['dead', 'waiting', 'sending', 'delivered'], state)
