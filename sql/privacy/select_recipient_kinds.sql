-- Where alerts and reports of the tenant go, by kind.
select kind, count(*) from audit_integrations where tenant_id = %(tenant_id)s and enabled group by kind order by kind
