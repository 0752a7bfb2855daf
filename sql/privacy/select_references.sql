-- References of living persons by the indexes of their names.
select actor_index, actor_ref from audit_subjects
where actor_index = any (%(indexes)s) and erased_at is null and sealed_identity is not null
