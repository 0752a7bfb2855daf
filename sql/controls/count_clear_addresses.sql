-- Events and accesses of a tenant with an address, and those whose address is not sealed text of version 1.
select count(*), count(*) filter (where ip_address not like 'v1.%%')
from (select ip_address from audit_logs where tenant_id = %(tenant_id)s and ip_address is not null
      union all
      select ip_address from audit_access_log where tenant_id = %(tenant_id)s and ip_address is not null) as stored
