-- Which events a person acted in or was acted upon, with when they happened.
select seq, occurred_at from audit_logs
where tenant_id = %(tenant_id)s
  and (actor_ref = %(actor_ref)s or (entity_id = %(actor_ref)s::text and entity_type <> 'audit_subject'))
order by seq
