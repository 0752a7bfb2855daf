-- One incident as it is now; when it changed last is kept where nothing did.
insert into audit_incidents as known (
    tenant_id, incident_id, founding_seq, state, actor_ref, first_at, last_at, anomalies, suppressed, score, alert_score,
    alert_severity, severity, title, meanings, story, run_id)
values (%(tenant_id)s, %(incident_id)s, %(founding_seq)s, 'open', %(actor_ref)s, %(first_at)s, %(last_at)s,
        %(anomalies)s, %(suppressed)s, %(score)s, %(alert_score)s, %(alert_severity)s, %(severity)s, %(title)s,
        %(meanings)s::jsonb, %(story)s::jsonb, %(run_id)s)
on conflict (tenant_id, incident_id) do update
set state = 'open', merged_into = null, actor_ref = excluded.actor_ref, first_at = excluded.first_at,
    last_at = excluded.last_at, anomalies = excluded.anomalies, suppressed = excluded.suppressed, score = excluded.score,
    alert_score = excluded.alert_score, alert_severity = excluded.alert_severity, severity = excluded.severity,
    title = excluded.title, meanings = excluded.meanings, story = excluded.story, stale = false,
    changed_at = case when (known.state, known.anomalies, known.severity, known.title, known.story, known.suppressed)
                           is distinct from ('open', excluded.anomalies, excluded.severity, excluded.title,
                                             excluded.story, excluded.suppressed)
                      then clock_timestamp() else known.changed_at end,
    run_id = excluded.run_id
where known.stale
   or (known.state, known.actor_ref, known.anomalies, known.severity, known.title, known.story, known.suppressed,
       known.alert_score)
      is distinct from ('open', excluded.actor_ref, excluded.anomalies, excluded.severity, excluded.title,
                        excluded.story, excluded.suppressed, excluded.alert_score)
