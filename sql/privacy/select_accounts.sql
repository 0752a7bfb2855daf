-- A person's account, whose id is their reference, and scheduled reports that are about them.
select 'account', user_id::text from audit_users
where tenant_id = %(tenant_id)s and user_id = %(actor_ref)s
union all
select 'scheduled_report', report_id::text from audit_scheduled_reports
where tenant_id = %(tenant_id)s and person_ref = %(actor_ref)s
