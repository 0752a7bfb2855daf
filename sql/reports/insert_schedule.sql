-- A scheduled report, in the transaction of the event that says so.
insert into audit_scheduled_reports (tenant_id, report_id, kind, cron, time_zone, delivery, recipients, person_ref,
                                     created_at)
values (%(tenant_id)s, %(report_id)s, %(kind)s, %(cron)s, %(time_zone)s, %(delivery)s, %(recipients)s, %(person_ref)s,
        %(now)s)
