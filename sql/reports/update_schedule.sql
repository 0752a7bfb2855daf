-- Change a scheduled report of the session's tenant; due times of before the change are not queued by the new line.
update audit_scheduled_reports
set cron = %(cron)s, time_zone = %(time_zone)s, delivery = %(delivery)s, recipients = %(recipients)s,
    enabled = %(enabled)s,
    last_due_at = case when %(restarts)s then greatest(last_due_at, %(now)s) else last_due_at end
where report_id = %(report_id)s
