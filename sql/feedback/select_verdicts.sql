-- Everything said of the event of one anomaly of the session's tenant, newest first; of each person's the newest counts.
select v.verdict_id, v.anomaly_id, v.seq, v.verdict, v.comment, v.given_by, v.given_at, v.ledger_seq,
       row_number() over (partition by v.given_by order by v.given_at desc, v.ledger_seq desc) = 1 as counts
from audit_verdicts v join audit_anomalies a on a.seq = v.seq
where a.anomaly_id = %(anomaly_id)s
order by v.given_at desc, v.ledger_seq desc
