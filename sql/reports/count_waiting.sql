-- Messages that are to be sent: those due by now, or all.
select count(*) from audit_report_deliveries d
join audit_scheduled_reports r on r.tenant_id = d.tenant_id and r.report_id = d.report_id and r.enabled
where d.state in ('waiting', 'sending')
  and (not %(due)s::boolean
       or (d.state = 'waiting' and d.next_try_at <= %(now)s)
       or (d.state = 'sending' and d.claimed_until <= %(now)s))
