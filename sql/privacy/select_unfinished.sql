-- Erasures whose copies were not followed to the last one, oldest first; those just begun are left to who began them.
select tenant_id, actor_ref from audit_erasures
where certificate is null and erased_at < now() - make_interval(secs => %(grace_s)s)
order by erased_at
