-- What each tenant has in a month: how many rows, from where to where, and over which times; read from the rows alone.
select tenant_id, count(*), min(seq), max(seq), (min(occurred_at) at time zone 'UTC')::text || '+00',
       (max(occurred_at) at time zone 'UTC')::text || '+00'
from audit_logs
where recorded_at >= %(since)s and recorded_at < %(until)s
group by tenant_id order by tenant_id
