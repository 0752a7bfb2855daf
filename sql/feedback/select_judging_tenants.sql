-- Tenants in which somebody gave a verdict since a time.
select distinct tenant_id from audit_verdicts where given_at >= %(since)s order by 1
