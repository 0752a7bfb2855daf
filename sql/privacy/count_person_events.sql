-- How many events a person acted in or was acted upon.
select count(*) from audit_logs
where tenant_id = %(tenant_id)s and (actor_ref = %(actor_ref)s or entity_id = %(actor_ref)s::text)
