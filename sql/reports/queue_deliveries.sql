-- Queue a report that was made for each recipient; the key lets each be queued once.
insert into audit_report_deliveries (tenant_id, report_id, due_at, recipient_index, sealed_recipient, state, queued_at,
                                     next_try_at)
select %(tenant_id)s, %(report_id)s, %(due_at)s, t.recipient_index, t.sealed, %(state)s, %(now)s, %(now)s
from unnest(%(indexes)s::bytea[], %(sealed)s::text[]) as t (recipient_index, sealed)
on conflict do nothing
