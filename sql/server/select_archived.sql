-- What of the session's tenant is in the archive alone: how many events, and up to which month.
select sum(last_seq - first_seq + 1)::bigint, max(month) from audit_archives
where released_at is not null and deleted_at is null
