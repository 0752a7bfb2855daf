-- Have a dead alert tried again.
update audit_alert_deliveries set state = 'waiting', attempts = 0, next_try_at = clock_timestamp()
where tenant_id = %(tenant_id)s and delivery_id = %(delivery_id)s and state = 'dead'
