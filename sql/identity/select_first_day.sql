-- The UTC day of the tenant's first event, here or in the archive, or of its first review, if that is earlier.
select least((select (recorded_at at time zone 'UTC')::date from audit_logs order by seq limit 1),
             (select min(day) from audit_archived_days), (select min(day) from audit_reviews))
