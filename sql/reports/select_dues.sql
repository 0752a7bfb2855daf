-- The newest due times of a scheduled report of the session's tenant and what became of them, with its messages.
select d.due_at, d.since, d.state, d.attempts, d.output_key, encode(d.output_digest, 'hex') as sha256, d.made_at,
       d.last_error,
       (select coalesce(json_agg(json_build_object(
                   'delivery_id', m.delivery_id, 'recipient', m.sealed_recipient, 'state', m.state,
                   'attempts', m.attempts, 'delivered_at', m.delivered_at, 'last_error', m.last_error)
               order by m.queued_at, m.delivery_id), '[]')
        from audit_report_deliveries m
        where m.tenant_id = d.tenant_id and m.report_id = d.report_id and m.due_at = d.due_at) as deliveries
from audit_due_reports d where d.report_id = %(report_id)s
order by d.due_at desc limit %(limit)s
