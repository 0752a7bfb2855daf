-- Who the server's connections log in as, and whether that account is more than the server's role: could become the owner
-- of the tables or another role of ours, or is beyond row-level security.
select session_user::text,
       r.rolsuper or r.rolbypassrls or r.rolcreaterole
       or exists (select from pg_roles o where o.rolname in ('audit_owner', 'audit_pipeline', 'audit_custodian')
                  and pg_has_role(session_user, o.oid, 'member'))
from pg_roles r where r.rolname = session_user
