-- Which roles could put rows into, change or empty what is evidence. Owner and superusers are bound by triggers alone.
select string_agg(r.rolname || ' ' || p.privilege || ' on ' || c.relname, ', ' order by r.rolname, c.relname, p.privilege)
from pg_class c
cross join pg_roles r
cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as p (privilege)
where c.relnamespace = 'public'::regnamespace
  and (c.relname in ('audit_event_ids', 'audit_checkpoints', 'audit_lineage', 'audit_signatures', 'audit_reviews')
           and p.privilege <> 'INSERT'
       or c.relname in ('audit_logs', 'audit_event_ids', 'audit_access_log')
       or c.oid in (select inhrelid from pg_inherits where inhparent = 'audit_logs'::regclass))
  and not r.rolsuper and r.oid <> c.relowner and r.rolname !~ '^pg_'
  and (has_table_privilege(r.oid, c.oid, p.privilege)
       or p.privilege in ('INSERT', 'UPDATE') and has_any_column_privilege(r.oid, c.oid, p.privilege))
