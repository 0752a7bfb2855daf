-- Holds over months that are in the archive, and sessions that an erasure ended.

set local role audit_owner;

alter table audit_sessions drop constraint audit_sessions_end_reason_check,
    add constraint audit_sessions_end_reason_check
        check (end_reason in ('logout', 'password', 'disabled', 'locked', 'erased'));

create function audit_hold_may_cover(p_filters jsonb, p_from timestamptz, p_to timestamptz)
returns boolean language sql stable set search_path = pg_catalog as $$
    select case
        when p_filters ?| array['actor_ref', 'entity_id'] then true
        when p_filters ?| array['from', 'to'] then
            p_to >= coalesce((p_filters ->> 'from')::timestamptz, '-infinity')
            and p_from < coalesce((p_filters ->> 'to')::timestamptz, 'infinity')
        else true
    end
$$;
comment on function audit_hold_may_cover is
    'Whether a hold with these filters may cover rows that nobody can look at, which happened in this span.';

-- Rows that are here are looked at one by one. Of months that are in the archive alone, only times are known: a hold of a
-- person or a thing may concern any of them. A stretch of which nothing is known is held while the tenant has any hold.
create or replace function audit_held(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    with archived as (
        select a.occurred_from, a.occurred_to from audit_archives a
        where a.tenant_id = p_tenant_id and a.released_at is not null and a.deleted_at is null
          and (a.month || '-01')::timestamptz < p_to
          and (a.month || '-01')::timestamptz + interval '1 month' > p_from)
    select exists (
        select from audit_legal_holds h
        where h.tenant_id = p_tenant_id and h.released_at is null
          and (exists (select from audit_logs l
                       where l.tenant_id = p_tenant_id and l.recorded_at >= p_from and l.recorded_at < p_to
                         and audit_hold_covers(h.filters, l.actor_ref, l.entity_type, l.entity_id, l.occurred_at))
               or exists (select from archived a where audit_hold_may_cover(h.filters, a.occurred_from, a.occurred_to))
               or (not exists (select from archived)
                   and not exists (select from audit_logs l
                                   where l.tenant_id = p_tenant_id
                                     and l.recorded_at >= p_from and l.recorded_at < p_to))))
$$;
comment on function audit_held is
    'Whether what a tenant recorded in a stretch of time may not be deleted, in the database or in the archive.';

-- Asked with the span of one registered month: from its beginning or its earliest event to its end or its latest event.
create or replace function audit_archive_hold(p_tenant_id uuid, p_from timestamptz, p_to timestamptz) returns text
language sql stable security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    with registered as (
        select m.*, a.occurred_from, a.occurred_to, a.released_at
        from audit_archives a
        cross join lateral (select (a.month || '-01')::timestamptz as since,
                                   (a.month || '-01')::timestamptz + interval '1 month' as until) m
        where a.tenant_id = p_tenant_id
          and least(m.since, a.occurred_from) = p_from and greatest(m.until, a.occurred_to) = p_to)
    select h.reason from audit_legal_holds h
    where h.tenant_id = p_tenant_id and h.released_at is null
      and (exists (select from registered r
                   where case when r.released_at is null then exists (
                                  select from audit_logs l
                                  where l.tenant_id = p_tenant_id
                                    and l.recorded_at >= r.since and l.recorded_at < r.until
                                    and audit_hold_covers(h.filters, l.actor_ref, l.entity_type, l.entity_id,
                                                          l.occurred_at))
                              else audit_hold_may_cover(h.filters, r.occurred_from, r.occurred_to) end)
           or (not exists (select from registered) and audit_hold_may_cover(h.filters, p_from, p_to)))
    order by h.placed_at limit 1
$$;
comment on function audit_archive_hold is 'The reason of a hold for which a registered month must stay; null for none.';

-- Whether a hold with these filters keeps a person from being erased: it names them, it covers an event of theirs, or it
-- may cover one that is in the archive alone. What was deleted by approval is held by nothing.
create or replace function audit_hold_concerns(p_tenant_id uuid, p_filters jsonb, p_actor_ref uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select case
        when p_filters ? 'actor_ref' then p_filters -> 'actor_ref' @> to_jsonb(p_actor_ref::text)
        when p_filters ? 'entity_id' or p_filters ?| array['from', 'to'] then
            exists (select from audit_archives a
                    where a.tenant_id = p_tenant_id and a.released_at is not null and a.deleted_at is null
                      and audit_hold_may_cover(p_filters, a.occurred_from, a.occurred_to))
            or not exists (select from audit_logs l where l.tenant_id = p_tenant_id and l.seq = 0
                           union all
                           select from audit_archives a
                           where a.tenant_id = p_tenant_id and a.first_seq = 0 and a.released_at is not null)
            or exists (select from audit_logs l
                       where l.tenant_id = p_tenant_id
                         and (l.actor_ref = p_actor_ref or l.entity_id = p_actor_ref::text)
                         and audit_hold_covers(p_filters, l.actor_ref, l.entity_type, l.entity_id, l.occurred_at))
        else true
    end
$$;
comment on function audit_hold_concerns is 'Whether a hold with these filters forbids erasing a person.';

revoke all on function audit_hold_may_cover from public;


-- Triggers run whoever may call their functions; nobody needs to.
revoke execute on function audit_keep_account, audit_keep_erasures, audit_keep_holds, audit_keep_archive from public;
