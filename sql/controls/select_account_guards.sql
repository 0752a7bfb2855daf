-- What keeps a login and an account one person's for ever and is missing: the trigger, and uniqueness of both.
select string_agg(missing, ', ' order by missing) from (
    select 'trigger ' || g.name as missing
    from (values ('keep_account'), ('no_truncate')) as g (name)
    where not exists (select from pg_trigger t
                      where t.tgrelid = 'audit_users'::regclass and t.tgname = g.name and t.tgenabled in ('O', 'A'))
    union all
    select 'uniqueness of ' || k.columns
    from (values ('tenant_id, user_id'), ('tenant_id, login_index')) as k (columns)
    where not exists (
        select from pg_index i
        where i.indrelid = 'audit_users'::regclass and i.indisunique and i.indisvalid and i.indpred is null
          and (select string_agg(a.attname, ', ' order by n.place)
               from unnest(i.indkey) with ordinality as n (attnum, place)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = n.attnum) = k.columns)
) as gaps
