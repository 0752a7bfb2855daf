-- Anomalies of earlier runs that no longer reach the threshold; what an analyst has judged stays.
delete from audit_anomalies
where tenant_id = %(tenant_id)s and seq <= %(through_seq)s and verdict is null and seq <> all (%(seq)s::bigint[])
