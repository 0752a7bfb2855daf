-- Age of the newest checkpoint of any tenant, in seconds; needs a role that sees all tenants.
select extract(epoch from clock_timestamp() - max(sealed_at))::float8
from audit_checkpoints
