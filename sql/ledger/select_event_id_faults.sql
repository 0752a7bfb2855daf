-- Where the register of ids and the ledger disagree from a sequence number on: ids that point to no such row, and rows
-- whose id is neither registered for them nor a UUIDv7 as the server makes them. A full join: it is one pass over each
-- whatever the planner knows of the tables, and the pattern, the dear part, is left for rows without a partner. Archived
-- rows are compared where they are read.
select coalesce(l.seq, i.seq), coalesce(l.event_id, i.event_id),
       case when l.seq is null then 'the id is registered for a row that is not there or has another id'
            else 'the id is one that a client chose, and the register does not have it for this row' end
from (select event_id, seq, recorded_at from audit_logs
      where tenant_id = %(tenant_id)s and seq >= %(first_seq)s and not seq <@ %(archived)s::int8multirange) l
full join (select event_id, seq, recorded_at from audit_event_ids
           where tenant_id = %(tenant_id)s and seq >= %(first_seq)s and not seq <@ %(archived)s::int8multirange) i
    on i.event_id = l.event_id and i.seq = l.seq and i.recorded_at = l.recorded_at
where l.seq is null
   or (i.seq is null
       and l.event_id !~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$')
order by 1
