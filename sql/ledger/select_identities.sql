-- What is sealed of the subjects behind references.
select actor_ref, sealed_identity, wrapped_key, master_key_id
from audit_subjects
where actor_ref = any (%(refs)s)
