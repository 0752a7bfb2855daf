-- Events of a tenant whose anomaly somebody judged.
select seq from audit_anomalies where tenant_id = %(tenant_id)s and verdict is not null order by seq
