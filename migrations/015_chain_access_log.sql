-- Who read what becomes part of the ledger: a row of audit_access_log is made of an entry of the tenant's chain, by the
-- database itself and in the statement that appends the entry, so that neither is ever without the other.

set local role audit_owner;

alter table audit_access_log
    add column seq bigint,
    add column event_id text collate "C",
    add column row_hash bytea check (length(row_hash) = 32),
    add column ip_address text collate "C",
    add column ip_index bytea,
    add column user_agent text collate "C",
    alter column subject_ref drop not null,
    alter column result_count drop not null,
    alter column accessed_at drop default;
-- Rows of before have no entry and stay as they are; every later one has.
alter table audit_access_log
    add constraint audit_access_log_in_chain check (seq is not null and event_id is not null and row_hash is not null)
    not valid;
create unique index audit_access_log_seq on audit_access_log (tenant_id, seq);
-- "what did this person read": accessed_at has an index of its own.
create index audit_access_log_subject on audit_access_log (tenant_id, subject_ref, seq);

comment on table audit_access_log is
    'One row per read, search, export, report or evidence, made by the database out of an entry audit.access.<action>.';
comment on column audit_access_log.seq is 'The entry in the tenant''s chain that says the same; null in rows of before.';
comment on column audit_access_log.ip_address is 'Sealed under the reader''s key; never an address in clear.';

-- Which entries are accesses. Clients cannot post events of these types.
create function audit_is_access(p_event_type text, p_entity_type text) returns boolean
language sql immutable parallel safe as $$
    select p_entity_type = 'audit.access' and p_event_type like 'audit.access.%'
$$;

-- Verification compares every row with its entry, and finds the entries without reading the rest of the ledger.
create index audit_logs_access on audit_logs (tenant_id, seq)
    where entity_type = 'audit.access' and event_type like 'audit.access.%';

create function audit_keep_access() returns trigger
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    v_details constant json := convert_from(new.entry, 'UTF8')::json -> 'details';
begin
    insert into audit_access_log (tenant_id, seq, event_id, row_hash, accessed_at, subject_ref, action, filters,
                                  result_count, ip_address, ip_index, user_agent)
    values (new.tenant_id, new.seq, new.event_id, new.row_hash, new.occurred_at, new.actor_ref,
            substring(new.event_type from length('audit.access.') + 1),
            -- Where the reader's own name stands in what they asked, the details are sealed as a whole.
            coalesce(v_details -> 'filters', v_details, '{}')::jsonb,
            (v_details ->> 'result_count')::integer,
            new.ip_address, new.ip_index, new.user_agent);
    return null;
end $$;
comment on function audit_keep_access is 'Writes the row of audit_access_log that an access event stands for.';

create trigger keep_access after insert on audit_logs
    for each row when (new.entity_type = 'audit.access' and new.event_type like 'audit.access.%')
    execute function audit_keep_access();

-- The rows have one way in, as the ledger has.
revoke insert on audit_access_log from audit_app;
-- Verification reads the rows, and reports count them.
grant select on audit_access_log to audit_pipeline;

-- The texts of the session's tenant that are nearest to a vector: all of its texts are compared, so none is missed, and
-- nothing but its own rows is touched, so the time says nothing about others. An approximate index (HNSW, IVFFlat) holds
-- the vectors of all tenants: behind row-level security it finds too few rows, and how long that takes depends on what
-- the others have. Hence no such index, distances computed before they are sorted, and no reading of the whole table.
create function audit_nearest_texts(p_model text, p_embedding vector, p_limit integer)
returns table (text_hash bytea, text text, category text, risk text, distance double precision)
language sql stable set enable_seqscan = off set jit = off as $$
    with own as materialized (
        select e.text_hash, e.text, e.category, e.risk, e.embedding <=> p_embedding as distance
        from audit_embeddings e
        where e.model = p_model
    )
    select * from own order by distance, text_hash limit p_limit
$$;
comment on function audit_nearest_texts is
    'The texts of the session''s tenant nearest to a vector by cosine distance; exact, and blind to other tenants.';
revoke all on function audit_nearest_texts from public;
grant execute on function audit_nearest_texts to audit_app, audit_reader;

-- A temporary table is found before all others unless pg_temp comes last: without this, whoever may call such a function
-- could have it read or write a table of their own making, an empty audit_legal_holds above all.
do $$
declare
    definer regprocedure;
begin
    for definer in
        select p.oid from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef
          and p.proowner = 'audit_owner'::regrole
          and not exists (select from unnest(p.proconfig) as c where c ~ '^search_path=.*pg_temp$')
    loop
        execute format('alter function %s set search_path = pg_catalog, public, pg_temp', definer);
    end loop;
end $$;

-- Triggers run whoever may call their functions; nobody needs to.
revoke execute on function audit_refuse_change, audit_keep_anchored, audit_require_master_key, audit_keep_access,
    audit_is_access from public;
grant execute on function audit_is_access to audit_app, audit_reader, audit_pipeline, audit_custodian;
