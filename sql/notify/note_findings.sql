-- What a verification found in one tenant's ledger; return how many of the findings nobody has been told of.
with found as (
    select * from unnest(%(kinds)s::text[], %(seqs)s::bigint[], %(whats)s::text[]) as f (kind, seq, what)
), noted as (
    insert into audit_integrity_findings as i (tenant_id, alert_id, kind, seq, what, run_id)
    select distinct on (kind, coalesce(seq, -1)) %(tenant_id)s, %(alert_id)s, kind, seq, what, %(run_id)s from found
    on conflict (tenant_id, kind, coalesce(seq, -1)) where gone_at is null
    do update set what = excluded.what, seen_at = clock_timestamp()
    returning alert_id
)
select count(*) filter (where alert_id = %(alert_id)s) from noted
