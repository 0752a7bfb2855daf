-- Incidents by state and severity, the gravest first.
select state, severity, count(*) from audit_incidents group by state, severity
order by array_position(array['open', 'merged', 'withdrawn'], state),
         array_position(array['critical', 'high', 'medium', 'low'], severity)
