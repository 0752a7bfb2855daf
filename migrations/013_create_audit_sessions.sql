-- Local accounts as they are used, and their sessions: who may sign in, how often somebody tried, what has ended.

set local role audit_owner;

-- An account is a person of the vault: its id is that person's reference, and nothing in it names them in clear. Its
-- login is a keyed hash that stays for ever, so that neither login nor id is given to anybody else (21 CFR 11.100(a)).
alter table audit_users
    drop constraint audit_users_tenant_id_login_key,
    drop column login,
    alter column user_id drop default,
    alter column created_at drop default,
    add column login_index bytea not null check (length(login_index) = 32),
    add column sealed_name text not null,
    add column former_hashes text[] not null default '{}',
    add column password_set_at timestamptz not null,
    add column must_change boolean not null,
    add column failed_attempts integer not null default 0 check (failed_attempts >= 0),
    add column locked_until timestamptz,
    add column last_login_at timestamptz,
    add unique (tenant_id, login_index),
    add foreign key (tenant_id, user_id) references audit_subjects (tenant_id, actor_ref);
comment on table audit_users is 'Local accounts, by the vault''s reference of their person; never deleted, never given to another.';
comment on column audit_users.login_index is 'Keyed hash of the login under the tenant''s key; outlives an erasure.';
comment on column audit_users.sealed_name is 'Printed name, sealed under the person''s key.';

create function audit_keep_account() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        if (new.tenant_id, new.user_id, new.login_index, new.created_at)
            is not distinct from (old.tenant_id, old.user_id, old.login_index, old.created_at) then
            return new;
        end if;
    end if;
    raise exception '% on % is refused: an account belongs to one person for ever', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger keep_account before update or delete on audit_users
    for each row execute function audit_keep_account();
create trigger no_truncate before truncate on audit_users
    for each statement execute function audit_keep_account();

create table audit_sessions (
    tenant_id uuid not null,
    session_id uuid not null,
    user_id uuid not null,
    begun_at timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at timestamptz not null,
    first_signed_at timestamptz,
    ended_at timestamptz,
    end_reason text check (end_reason in ('logout', 'password', 'disabled', 'locked')),
    primary key (tenant_id, session_id),
    foreign key (tenant_id, user_id) references audit_users (tenant_id, user_id),
    check ((ended_at is null) = (end_reason is null))
);
comment on table audit_sessions is 'One row per login. Idle and absolute limits are compared when a token comes, so their end is no row.';
comment on column audit_sessions.first_signed_at is 'From here on a signature asks for the password alone (21 CFR 11.200(a)(1)(i)).';
-- "which sessions of this account are to be ended"
create index audit_sessions_open on audit_sessions (tenant_id, user_id) where ended_at is null;
alter table audit_sessions enable row level security;
alter table audit_sessions force row level security;
create policy own_tenant on audit_sessions to audit_app
    using (tenant_id = (select audit_current_tenant()))
    with check (tenant_id = (select audit_current_tenant()));
create policy all_tenants on audit_sessions to audit_owner using (true) with check (true);

revoke update on audit_users from audit_app;
grant update (password_hash, former_hashes, password_set_at, must_change, permissions, disabled_at, failed_attempts,
              locked_until, last_login_at) on audit_users to audit_app;
grant select, insert on audit_sessions to audit_app;
grant update (last_seen_at, first_signed_at, ended_at, end_reason) on audit_sessions to audit_app;
