-- How many tables carry a tenant, and which of them do not force row-level security.
select count(*), string_agg(c.relname, ', ' order by c.relname) filter (where not (c.relrowsecurity and c.relforcerowsecurity))
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname like 'audit\_%%'
