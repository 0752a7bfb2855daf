-- How many days of a tenant have a record for review, and which of those from a day on that are over have none.
select (select count(*) from audit_reviews where tenant_id = %(tenant_id)s),
       (select string_agg(d.day::date::text, ', ' order by d.day)
        from generate_series(
            greatest(%(since)s::date, (select min(recorded_at at time zone 'UTC')::date from audit_logs
                                       where tenant_id = %(tenant_id)s))::timestamp,
            %(until)s::timestamp, interval '1 day') as d (day)
        where not exists (select from audit_reviews r where r.tenant_id = %(tenant_id)s and r.day = d.day::date))
