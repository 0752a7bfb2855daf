-- The scheduled reports of the session's tenant with all recipients, sealed, and the messages that one address got.
-- A message whose recipient was erased keeps the address's index; it is nobody's any more.
select r.report_id, r.kind, r.cron, r.time_zone, r.delivery, r.enabled, r.created_at, r.recipients,
       r.person_ref is not distinct from %(actor_ref)s::uuid as is_about_person,
       (select coalesce(jsonb_agg(jsonb_build_object(
                   'due_at', m.due_at, 'state', m.state, 'queued_at', m.queued_at, 'delivered_at', m.delivered_at)
               order by m.due_at), '[]')
        from audit_report_deliveries m
        where m.tenant_id = r.tenant_id and m.report_id = r.report_id and m.recipient_index = %(recipient_index)s
              and m.sealed_recipient is not null) as messages
from audit_scheduled_reports r
order by r.created_at, r.report_id
