-- Anomalies of one tenant: new ones are added, known ones follow their score; verdicts, ids and suppressions stay. A
-- suppression covers what is detected while it is in force, and never what its own author did. Answers how many rows
-- were written, how many of them are new, and how many of those are suppressed.
with given as (
    select g.* from unnest(
        %(seq)s::bigint[], %(event_id)s::text[], %(row_hash)s::text[], %(occurred_at)s::timestamptz[],
        %(actor_ref)s::text[], %(event_type)s::text[], %(score)s::double precision[], %(severity)s::text[],
        %(meaning)s::text[], %(risk)s::double precision[], %(reasons)s::text[], %(compared_with)s::text[],
        %(model_id)s::text[], %(entity_type)s::text[], %(entity_id)s::text[], %(ip_index)s::text[])
        as g (seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, meaning, risk, reasons,
              compared_with, model_id, entity_type, entity_id, ip_index)
), written as (
    insert into audit_anomalies as known (
        tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, meaning, risk, reasons,
        compared_with, model_id, code_version, run_id, suppression_id)
    select %(tenant_id)s, g.seq, g.event_id, decode(g.row_hash, 'hex'), g.occurred_at, g.actor_ref::uuid, g.event_type,
           g.score, g.severity, g.meaning, g.risk, g.reasons::jsonb, g.compared_with::jsonb, g.model_id,
           %(code_version)s, %(run_id)s, s.suppression_id
    from given g
    left join lateral (
        select s.suppression_id from audit_suppressions s
        where s.tenant_id = %(tenant_id)s and s.ended_at is null and s.ends_at > clock_timestamp()
          and (s.actor_ref is null or s.actor_ref = g.actor_ref::uuid)
          and (s.event_type is null or s.event_type = g.event_type)
          and (s.entity_id is null or (s.entity_type = g.entity_type and s.entity_id = g.entity_id))
          and (s.network_index is null
               or substring(decode(g.ip_index, 'hex') for length(s.network_index)) = s.network_index)
          and s.placed_by is distinct from g.actor_ref::uuid
        order by s.placed_at, s.suppression_id limit 1) s on true
    on conflict (tenant_id, seq) do update
    set actor_ref = excluded.actor_ref, score = excluded.score, severity = excluded.severity,
        meaning = excluded.meaning, risk = excluded.risk, reasons = excluded.reasons,
        compared_with = excluded.compared_with, model_id = excluded.model_id, code_version = excluded.code_version,
        run_id = excluded.run_id
    where (known.actor_ref, known.score, known.severity, known.meaning, known.risk, known.reasons, known.compared_with,
           known.model_id, known.code_version)
          is distinct from (excluded.actor_ref, excluded.score, excluded.severity, excluded.meaning, excluded.risk,
                            excluded.reasons, excluded.compared_with, excluded.model_id, excluded.code_version)
    returning xmax = 0 as is_new, incident_id, suppression_id
), retold as (
    update audit_incidents i set stale = true
    where i.tenant_id = %(tenant_id)s and i.incident_id in (select incident_id from written where not is_new)
)
select count(*), count(*) filter (where is_new), count(*) filter (where is_new and suppression_id is not null)
from written
