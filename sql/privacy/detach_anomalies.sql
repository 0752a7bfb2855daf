-- Anomalies of an erased person: that an event was odd stays, why it was odd for them does not.
update audit_anomalies set actor_ref = null, reasons = '[]'
where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
