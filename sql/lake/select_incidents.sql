-- All incidents, with the columns of the lake's copy in its order.
select tenant_id::text, incident_id::text, state, actor_ref::text, first_at, last_at, anomalies, suppressed, score,
       severity, title, meanings::text, story::text, opened_at, changed_at
from audit_incidents order by tenant_id, first_at, incident_id
