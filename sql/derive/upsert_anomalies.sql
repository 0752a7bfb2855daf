-- Anomalies of one tenant: new ones are added, known ones follow their score; verdicts and ids stay. Answers how many
-- rows were written and how many of them are new.
with written as (
    insert into audit_anomalies as known (
        tenant_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, reasons, model_id, run_id)
    select %(tenant_id)s, g.seq, g.event_id, decode(g.row_hash, 'hex'), g.occurred_at, g.actor_ref::uuid, g.event_type,
           g.score, g.severity, g.reasons::jsonb, g.model_id, %(run_id)s
    from unnest(%(seq)s::bigint[], %(event_id)s::text[], %(row_hash)s::text[], %(occurred_at)s::timestamptz[],
                %(actor_ref)s::text[], %(event_type)s::text[], %(score)s::double precision[], %(severity)s::text[],
                %(reasons)s::text[], %(model_id)s::text[])
        as g (seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, reasons, model_id)
    on conflict (tenant_id, seq) do update
    set score = excluded.score, severity = excluded.severity, reasons = excluded.reasons,
        model_id = excluded.model_id, run_id = excluded.run_id
    where (known.score, known.severity, known.reasons, known.model_id)
          is distinct from (excluded.score, excluded.severity, excluded.reasons, excluded.model_id)
    returning xmax = 0 as is_new
)
select count(*), count(*) filter (where is_new) from written
