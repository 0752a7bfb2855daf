-- How many of the two guarding triggers of audit_logs are enabled, and which grants would let a role change its rows.
select
    (select count(*) from pg_trigger
     where tgrelid = 'audit_logs'::regclass and tgname in ('append_only', 'no_truncate') and tgenabled in ('O', 'A')),
    (select string_agg(r.rolname || ' ' || p.privilege, ', ' order by r.rolname, p.privilege)
     from pg_roles r
     cross join (values ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) as p (privilege)
     where r.rolname in ('audit_app', 'audit_pipeline', 'audit_reader', 'audit_custodian')
       and has_table_privilege(r.rolname, 'audit_logs', p.privilege))
