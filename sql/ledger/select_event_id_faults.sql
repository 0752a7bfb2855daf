-- Where the register of ids and the ledger disagree: ids that point to no such row, and rows whose id is neither
-- registered nor a UUIDv7 as the server makes them.
select i.seq, i.event_id, 'the id is registered for a row that is not there or has another id'
from audit_event_ids i
left join audit_logs l on l.tenant_id = i.tenant_id and l.event_id = i.event_id and l.seq = i.seq
                          and l.recorded_at = i.recorded_at
where i.tenant_id = %(tenant_id)s and l.seq is null
union all
select l.seq, l.event_id, 'the id is one that a client chose, and the register does not have it'
from audit_logs l
left join audit_event_ids i on i.tenant_id = l.tenant_id and i.event_id = l.event_id
where l.tenant_id = %(tenant_id)s and i.seq is null
  and l.event_id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
order by 1
