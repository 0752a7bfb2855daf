-- Rows of one tenant in a range of seq and time, as the lake keeps them: of a person who was erased, that something
-- happened and when, and nothing that leads to them. The bounds come from the session: ADBC streams a query without
-- parameters by binary COPY, one with parameters row by row.
with erased as (
    select actor_ref, actor_ref::text collate "C" as ref from audit_subjects
    where tenant_id = current_setting('lake.tenant_id')::uuid and erased_at is not null
)
select l.tenant_id::text as tenant_id, l.seq, l.recorded_at, l.event_id, l.occurred_at,
       case when a.ref is null then l.actor_ref::text end as actor_ref,
       l.event_type, l.entity_type, case when e.ref is null then l.entity_id else 'erased' end as entity_id, l.outcome,
       case when a.ref is null then encode(l.ip_index, 'hex') end as ip_index,
       case when a.ref is null then l.user_agent end as user_agent,
       case when a.ref is null then nullif((convert_from(l.entry, 'UTF8')::json -> 'details')::text, 'null') end as details,
       encode(l.row_hash, 'hex') as row_hash
from audit_logs l
left join erased a on a.actor_ref = l.actor_ref
-- The event of the erasure itself names whose it was, and is the only one that still does.
left join erased e on e.ref = l.entity_id and l.entity_type <> 'audit_subject'
where l.tenant_id = current_setting('lake.tenant_id')::uuid
  and l.seq between current_setting('lake.first_seq')::bigint and current_setting('lake.last_seq')::bigint
  and l.recorded_at >= current_setting('lake.since')::timestamptz
  and l.recorded_at < current_setting('lake.until')::timestamptz
order by l.seq
