-- One incident of the current tenant.
select incident_id, founding_seq, state, merged_into, actor_ref, first_at, last_at, anomalies, suppressed, score, severity,
       title, meanings, story, opened_at, changed_at
from audit_incidents where incident_id = %(incident_id)s
