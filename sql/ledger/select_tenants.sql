-- Every tenant that left a trace anywhere in the ledger, also where somebody deleted part of it. From one tenant to the
-- next by index: a DISTINCT reads every row.
with recursive
    in_logs (tenant_id) as (
        (select tenant_id from audit_logs order by tenant_id limit 1)
        union all
        select (select l.tenant_id from audit_logs l where l.tenant_id > p.tenant_id order by l.tenant_id limit 1)
        from in_logs p where p.tenant_id is not null
    ),
    in_register (tenant_id) as (
        (select tenant_id from audit_event_ids order by tenant_id limit 1)
        union all
        select (select i.tenant_id from audit_event_ids i where i.tenant_id > p.tenant_id order by i.tenant_id limit 1)
        from in_register p where p.tenant_id is not null
    ),
    in_accesses (tenant_id) as (
        (select tenant_id from audit_access_log order by tenant_id limit 1)
        union all
        select (select a.tenant_id from audit_access_log a where a.tenant_id > p.tenant_id order by a.tenant_id limit 1)
        from in_accesses p where p.tenant_id is not null
    )
select tenant_id from audit_chain_heads
union select tenant_id from audit_checkpoints
union select tenant_id from audit_archives
union select tenant_id from in_register where tenant_id is not null
union select tenant_id from in_accesses where tenant_id is not null
union select tenant_id from in_logs where tenant_id is not null
order by tenant_id
