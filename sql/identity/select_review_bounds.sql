-- For each tenant with events: the UTC day of its first one, and the newest day that has a review.
select h.tenant_id,
       least((select (l.recorded_at at time zone 'UTC')::date from audit_logs l
              where l.tenant_id = h.tenant_id order by l.seq limit 1),
             (select min(d.day) from audit_archived_days d where d.tenant_id = h.tenant_id)),
       (select max(r.day) from audit_reviews r where r.tenant_id = h.tenant_id)
from audit_chain_heads h
where h.next_seq > 0
order by h.tenant_id
