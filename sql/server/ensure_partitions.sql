-- This month's partition and the next three.
select audit_ensure_partitions(clock_timestamp(), 3)
