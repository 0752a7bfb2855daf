-- What detection found odd about a person.
select jsonb_build_object('seq', seq, 'event_id', event_id, 'occurred_at', occurred_at, 'event_type', event_type,
    'score', score, 'severity', severity, 'reasons', reasons, 'meaning', meaning,
    'compared_with', compared_with, 'incident_id', incident_id, 'model_id', model_id, 'detected_at', detected_at,
    'verdict', verdict, 'row_hash', encode(row_hash, 'hex'))
from audit_anomalies where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s order by seq
