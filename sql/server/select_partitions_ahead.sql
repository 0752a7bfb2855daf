-- For how many whole months beyond this one a partition is there; -1 when this month's own is missing.
select count(*) - 1
from generate_series(0, 11) as months
where to_regclass('audit_logs_' || to_char((now() at time zone 'UTC') + make_interval(months => months), 'YYYYMM')) is not null
