-- How much was derived of a person's events in the database.
select (select count(*) from audit_event_texts t join audit_logs l on l.tenant_id = t.tenant_id and l.seq = t.seq
        where t.tenant_id = %(tenant_id)s and l.actor_ref = %(actor_ref)s),
       (select count(distinct t.text_hash) from audit_event_texts t
        join audit_logs l on l.tenant_id = t.tenant_id and l.seq = t.seq
        where t.tenant_id = %(tenant_id)s and l.actor_ref = %(actor_ref)s),
       (select count(*) from audit_ml_models where tenant_id = %(tenant_id)s)
