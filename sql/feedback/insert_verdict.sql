-- A verdict, in the transaction of the event that says so, with the score that was judged.
insert into audit_verdicts (tenant_id, anomaly_id, seq, event_row_hash, event_type, score, verdict, comment, given_by,
                            ledger_seq, ledger_row_hash)
select tenant_id, anomaly_id, seq, row_hash, event_type, score, %(verdict)s, %(comment)s, %(given_by)s, %(ledger_seq)s,
       %(ledger_row_hash)s
from audit_anomalies where tenant_id = %(tenant_id)s and anomaly_id = %(anomaly_id)s
