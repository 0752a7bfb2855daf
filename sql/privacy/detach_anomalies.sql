-- Anomalies and incidents of an erased person: that an event was odd stays, why it was odd for them does not; nor what was
-- said of it in words. What is left is told anew.
with about as (
    update audit_anomalies
    set actor_ref = null, reasons = '[]', compared_with = '[]', incident_id = null
    where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
    returning seq
), unsaid as (
    update audit_verdicts set comment = null
    where tenant_id = %(tenant_id)s and comment is not null and seq in (select seq from about)
)
update audit_incidents
set state = 'withdrawn', merged_into = null, actor_ref = null, anomalies = 0, suppressed = 0, alert_score = null,
    alert_severity = null, title = '', meanings = '[]', story = '[]', stale = false, changed_at = clock_timestamp()
where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s
