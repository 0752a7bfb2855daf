-- Anomalies by severity, most severe first.
select severity, count(*) from audit_anomalies group by severity
order by array_position(array['critical', 'high', 'medium', 'low'], severity)
