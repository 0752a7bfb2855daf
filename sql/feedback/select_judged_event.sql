-- The event that an anomaly of the session's tenant is about: its place, its hash and who did it.
select seq, row_hash, actor_ref from audit_anomalies where anomaly_id = %(anomaly_id)s
