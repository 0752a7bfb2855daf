-- Tables with a tenant that the connection's role may read.
select c.relname from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relname like 'audit\_%%'
  and has_table_privilege(c.oid, 'SELECT')
order by c.relname
