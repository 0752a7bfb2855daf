-- Meaning of events: each distinct text once, with its vector; events point to texts.

-- Where only a superuser may create it, have one run this line in the database first.
create extension if not exists vector;

set local role audit_owner;

create table audit_embeddings (
    tenant_id uuid not null,
    text_id bigint generated always as identity,
    model text not null,
    text_hash bytea not null check (length(text_hash) = 32),
    text text not null,
    embedding vector not null,
    category text,
    category_confidence real,
    risk text,
    risk_confidence real,
    created_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, text_id),
    unique (tenant_id, model, text_hash)
);
comment on table audit_embeddings is
    'One row per distinct rendered text and model. Texts hold no personal data: names and addresses are templated out.';
comment on column audit_embeddings.category is 'What category_classifier says of the text; null until it was tagged.';

create table audit_event_texts (
    tenant_id uuid not null,
    seq bigint not null,
    text_hash bytea not null,
    primary key (tenant_id, seq)
);
comment on table audit_event_texts is 'Which text each event renders to; a million events have about a thousand texts.';
create index audit_event_texts_text on audit_event_texts (tenant_id, text_hash);
