-- How far a tenant's events are scored by what the lineage says, and how many recorded before a time are not.
select s.last_seq, count(l.seq), min(l.recorded_at)
from (select max((i ->> 'last_seq')::bigint) as last_seq
      from audit_lineage o cross join jsonb_array_elements(o.inputs) as i
      where o.tenant_id = %(tenant_id)s and o.output_kind = 'event_scores' and i ->> 'kind' = 'audit_logs') as s
left join audit_logs l on l.tenant_id = %(tenant_id)s and l.seq > coalesce(s.last_seq, -1)
     and l.recorded_at < %(before)s and l.entity_type <> 'audit.access'
group by s.last_seq
