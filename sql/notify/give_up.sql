-- Give up what waits for a destination that is not there any more.
update audit_alert_deliveries
set state = 'dead', claimed_until = null, last_error = 'the recipient was erased'
where tenant_id = %(tenant_id)s and integration_id = %(integration_id)s and state in ('waiting', 'sending')
