-- What an anomaly of the session's tenant is said to be: what most persons say by their newest verdict on its event, the
-- graver among equals; by whom and when is that of the newest who say so.
with newest as (
    select distinct on (v.given_by) v.given_by, v.verdict, v.given_at
    from audit_verdicts v join audit_anomalies a on a.seq = v.seq
    where a.anomaly_id = %(anomaly_id)s
    order by v.given_by, v.given_at desc, v.ledger_seq desc
), settled as (
    select verdict, max(given_at) as given_at, (array_agg(given_by order by given_at desc))[1] as given_by
    from newest group by verdict
    order by count(*) desc, array_position(array['true_positive', 'benign', 'false_positive'], verdict)
    limit 1
)
update audit_anomalies a set verdict = s.verdict, verdict_by = s.given_by, verdict_at = s.given_at
from settled s where a.anomaly_id = %(anomaly_id)s
