-- Accesses of a tenant from a sequence number on: entries of the chain beside the rows of audit_access_log that were made
-- of them, whichever of the two is missing. Rows without a number are of before accesses had entries; one that came after
-- the first with a number is none of these. Columns of the ledger are compared with the entries elsewhere; what stands in
-- the entry alone is handed out.
select coalesce(l.seq, a.seq), l.seq is not null, a.access_id is not null, a.copies,
       (a.event_id, a.row_hash, a.accessed_at, a.subject_ref, 'audit.access.' || a.action, a.ip_address, a.ip_index,
        a.user_agent)
       is not distinct from
       (l.event_id, l.row_hash, l.occurred_at, l.actor_ref, l.event_type, l.ip_address, l.ip_index, l.user_agent),
       l.entry, a.filters::text, a.result_count
from (select seq, event_id, row_hash, occurred_at, actor_ref, event_type, ip_address, ip_index, user_agent, entry
      from audit_logs
      where tenant_id = %(tenant_id)s and seq >= %(first_seq)s
        and entity_type = 'audit.access' and event_type like 'audit.access.%%') l
full join (select *, count(*) over (partition by seq) as copies
           from audit_access_log
           where tenant_id = %(tenant_id)s
             and (seq >= %(first_seq)s and not seq <@ %(archived)s::int8multirange
                  or seq is null
                     and access_id > (select min(access_id) from audit_access_log
                                      where tenant_id = %(tenant_id)s and seq is not null))) a
    on a.seq = l.seq
