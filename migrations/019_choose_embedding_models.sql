-- Which embedding model a tenant uses, and texts that wait for their vector.

set local role audit_owner;

create table audit_embedding_models (
    tenant_id uuid not null,
    model text not null,
    name text not null,
    dimension integer not null check (dimension > 0),
    digest text check (digest ~ '^[0-9a-f]{64}$'),
    source text not null,
    in_use boolean not null,
    in_use_since timestamptz,
    used_at timestamptz not null default clock_timestamp(),
    removed_at timestamptz,
    requests bigint not null default 0,
    tokens bigint not null default 0,
    primary key (tenant_id, model)
);
comment on table audit_embedding_models is
    'One row per tenant and embedding model it ever had: what it is, whether it is in use, and what it has cost.';
comment on column audit_embedding_models.model is 'As in audit_embeddings: name and the first digits of the digest.';
comment on column audit_embedding_models.digest is
    'SHA-256 of what decides the vectors; null until the next run for models of before this table.';
comment on column audit_embedding_models.source is 'Where it runs: built in, a folder, or the address of a server.';
comment on column audit_embedding_models.used_at is 'When it was last in use or being prepared; then its vectors wait.';
create unique index audit_embedding_models_in_use on audit_embedding_models (tenant_id) where in_use;

alter table audit_embedding_models enable row level security;
alter table audit_embedding_models force row level security;
create policy own_tenant on audit_embedding_models to audit_app, audit_reader
    using (tenant_id = (select audit_current_tenant()))
    with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_embedding_models to audit_owner, audit_pipeline, audit_custodian
    using (true) with check (true);
grant select on audit_embedding_models to audit_app, audit_reader, audit_pipeline, audit_custodian;
grant insert, update on audit_embedding_models to audit_pipeline;

insert into audit_embedding_models (tenant_id, model, name, dimension, source, in_use, in_use_since)
select e.tenant_id, e.model, split_part(e.model, '@', 1), max(vector_dims(e.embedding)), 'built in',
       row_number() over (partition by e.tenant_id order by max(e.created_at) desc) = 1, min(e.created_at)
from audit_embeddings e
group by e.tenant_id, e.model;

-- A text is known with its first event; its vector may come later, or from a server that does not answer just now.
alter table audit_embeddings alter column embedding drop not null;
comment on column audit_embeddings.embedding is 'Of the model''s dimension and of length 1; null while it is waited for.';

create or replace function audit_nearest_texts(p_model text, p_embedding vector, p_limit integer)
returns table (text_hash bytea, text text, category text, risk text, distance double precision)
language sql stable set enable_seqscan = off set jit = off as $$
    with own as materialized (
        select e.text_hash, e.text, e.category, e.risk, e.embedding <=> p_embedding as distance
        from audit_embeddings e
        where e.model = p_model and e.embedding is not null
    )
    select * from own order by distance, text_hash limit p_limit
$$;
