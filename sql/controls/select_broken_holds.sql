-- Holds in force, and what was done in spite of one: persons named who were erased, months deleted under a whole tenant's.
select (select count(*) from audit_legal_holds where tenant_id = %(tenant_id)s and released_at is null),
       (select string_agg(distinct e.actor_ref::text, ', ') from audit_erasures e
        join audit_legal_holds h on h.tenant_id = e.tenant_id and h.placed_at < e.erased_at
             and (h.released_at is null or h.released_at > e.erased_at)
        where e.tenant_id = %(tenant_id)s
          and (h.filters = '{}' or h.filters -> 'actor_ref' @> to_jsonb(e.actor_ref::text))),
       (select string_agg(distinct a.month, ', ') from audit_archives a
        join audit_legal_holds h on h.tenant_id = a.tenant_id and h.placed_at < a.deleted_at
             and (h.released_at is null or h.released_at > a.deleted_at)
        where a.tenant_id = %(tenant_id)s and h.filters = '{}')
