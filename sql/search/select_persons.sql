-- The living persons that the current tenant came to know since a moment.
select actor_ref, created_at from audit_subjects
where erased_at is null and sealed_identity is not null
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
order by created_at
limit %(most)s
