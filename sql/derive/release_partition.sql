-- Drop a month's partition; refused unless all of it is archived, verified, covered and not held.
select rows, bytes from audit_release_partition(%(month)s, %(lock_timeout_ms)s)
