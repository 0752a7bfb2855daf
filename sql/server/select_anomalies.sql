-- One page of the current tenant's anomalies by seq, one row more than the page to tell whether there is another.
with matching as not materialized (
    select anomaly_id, seq, event_id, row_hash, occurred_at, actor_ref, event_type, score, severity, meaning, risk, reasons,
           compared_with, model_id, code_version, incident_id, suppression_id, detected_at, verdict, verdict_by, verdict_at
    from audit_anomalies
    where (%(actor_ref)s::uuid is null or actor_ref = %(actor_ref)s)
      and (%(severity)s::text is null or severity = %(severity)s)
      and (%(verdict)s::text is null or coalesce(verdict, 'none') = %(verdict)s)
      and (%(incident_id)s::uuid is null or incident_id = %(incident_id)s)
      and (%(min_score)s::double precision is null or score >= %(min_score)s)
      and (%(suppressed)s::boolean is null or (suppression_id is not null) = %(suppressed)s)
      and (%(since)s::timestamptz is null or occurred_at >= %(since)s)
      and (%(until)s::timestamptz is null or occurred_at < %(until)s)
)
-- include next_of_matching
