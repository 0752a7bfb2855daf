-- An incident that is part of another one now, or that no anomaly is left of: it says so, and tells nothing any more.
update audit_incidents
set state = %(state)s, merged_into = %(heir)s, anomalies = 0, suppressed = 0, alert_score = null, alert_severity = null,
    meanings = '[]', story = '[]', stale = false, changed_at = clock_timestamp(), run_id = %(run_id)s
where tenant_id = %(tenant_id)s and incident_id = %(incident_id)s
