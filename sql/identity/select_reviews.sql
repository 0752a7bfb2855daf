-- The reviews of some days, the newest first.
select day, content, made_at from audit_reviews
where day >= %(since)s and day < %(until)s
order by day desc
