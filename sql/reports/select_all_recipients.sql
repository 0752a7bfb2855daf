-- Everybody whom the session's tenant's scheduled reports go or went to, sealed.
select r.report_id, t.sealed from audit_scheduled_reports r, unnest(r.recipients) as t (sealed)
union
select report_id, sealed_recipient from audit_report_deliveries where sealed_recipient is not null
