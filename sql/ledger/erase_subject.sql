-- Destroy the key of a person of the session's tenant.
select erased_at, erasures, is_new from audit_erase_subject(%(actor_ref)s)
