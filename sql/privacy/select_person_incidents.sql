-- What detection made of the odd events of a person together.
select jsonb_build_object('incident_id', incident_id, 'state', state, 'first_at', first_at, 'last_at', last_at,
    'anomalies', anomalies, 'score', score, 'severity', severity, 'title', title, 'meanings', meanings, 'story', story)
from audit_incidents where tenant_id = %(tenant_id)s and actor_ref = %(actor_ref)s order by founding_seq
