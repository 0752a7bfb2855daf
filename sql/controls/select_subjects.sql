-- The vault of the session's tenant: the living with a name, the erased, and up to five references of what is not as it must be.
select count(*) filter (where erased_at is null and sealed_identity is not null),
       count(*) filter (where erased_at is not null),
       (array_agg(actor_ref) filter (
           where sealed_identity not like 'v1.%%' or length(wrapped_key) <> 60
              or erased_at is not null and (sealed_identity is not null or wrapped_key is not null)))[1:5],
       (array_agg(actor_ref order by created_at desc)
           filter (where erased_at is null and sealed_identity is not null))[1:20]
from audit_subjects
