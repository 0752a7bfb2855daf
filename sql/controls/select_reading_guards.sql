-- Parts of audit_logs whose trigger that writes the access log is missing or switched off.
select string_agg(c.relname, ', ' order by c.relname)
from pg_class c
left join pg_trigger t on t.tgrelid = c.oid and t.tgname = 'keep_access'
where (c.oid = 'audit_logs'::regclass or c.oid in (select inhrelid from pg_inherits where inhparent = 'audit_logs'::regclass))
  and (t.tgenabled is null or t.tgenabled not in ('O', 'A'))
