-- The UTC day of the tenant's first event that is here, or of its first review, if that is earlier.
select least((select (recorded_at at time zone 'UTC')::date from audit_logs order by seq limit 1),
             (select min(day) from audit_reviews))
