-- The findings that are told as one alert, the first rows first.
select kind, seq, found_at from audit_integrity_findings
where tenant_id = %(tenant_id)s and alert_id = %(alert_id)s
order by seq nulls first, kind
