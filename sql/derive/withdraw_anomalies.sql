-- Anomalies of earlier runs in some ranges of seq that no longer reach the threshold; what an analyst has judged stays.
-- The incidents they were part of are told anew.
with gone as (
    delete from audit_anomalies a
    where a.tenant_id = %(tenant_id)s and a.verdict is null and a.seq <> all (%(seq)s::bigint[])
      and exists (select from unnest(%(first)s::bigint[], %(last)s::bigint[]) as r (first, last)
                  where a.seq between r.first and r.last)
    returning a.incident_id
), retold as (
    update audit_incidents i set stale = true
    where i.tenant_id = %(tenant_id)s and i.incident_id in (select incident_id from gone)
)
select incident_id from gone
