-- What a role of the product has beyond its part: attributes, tables, membership, functions that run as another.
with ours as (
    select * from pg_roles
    where rolname in ('audit_app', 'audit_pipeline', 'audit_reader', 'audit_custodian')
)
select string_agg(fault, '; ' order by fault) from (
    select rolname || ' is superuser, bypasses row-level security or makes roles or databases' as fault
    from ours where rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication
    union all
    select o.rolname || ' owns ' || c.relname
    from pg_class c join ours o on o.oid = c.relowner where c.relnamespace = 'public'::regnamespace
    union all
    select o.rolname || ' is a member of ' || g.rolname
    from pg_auth_members m join ours o on o.oid = m.member join pg_roles g on g.oid = m.roleid
    union all
    select 'audit_owner may log in' from pg_roles where rolname = 'audit_owner' and rolcanlogin
    union all
    select p.proname || ' runs as ' || pg_get_userbyid(p.proowner) || ' for everybody'
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.prosecdef
      and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                  where a.grantee = 0 and a.privilege_type = 'EXECUTE')
) as faults
