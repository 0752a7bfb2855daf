-- How many triggers guard what is evidence, and which of them are missing, switched off, or refuse nothing.
with guarded (relation, trigger_name) as (
    select to_regclass('public.' || t.name), g.name
    from (values ('audit_logs', 'append_only'), ('audit_event_ids', 'append_only'), ('audit_checkpoints', 'append_only'),
                 ('audit_lineage', 'append_only'), ('audit_signatures', 'append_only'), ('audit_reviews', 'append_only'),
                 ('audit_anchorings', 'keep_anchored'), ('audit_legal_holds', 'keep_holds'),
                 ('audit_erasures', 'keep_erasures'), ('audit_erasure_copies', 'keep_erasures'),
                 ('audit_ml_models', 'append_only'), ('audit_model_decisions', 'append_only'),
                 ('audit_archives', 'keep_archive')) as t (name, own)
    cross join lateral (values (t.own), ('no_truncate')) as g (name)
    union all
    select i.inhrelid::regclass, g.name
    from pg_inherits i cross join (values ('append_only'), ('no_truncate')) as g (name)
    where i.inhparent = 'audit_logs'::regclass
)
select count(*),
       string_agg(g.trigger_name || ' on ' || g.relation, ', ' order by g.relation::text, g.trigger_name)
           filter (where t.tgenabled is null or t.tgenabled not in ('O', 'A') or p.prosrc !~ 'raise exception')
from guarded g
left join pg_trigger t on t.tgrelid = g.relation and t.tgname = g.trigger_name
left join pg_proc p on p.oid = t.tgfoid
