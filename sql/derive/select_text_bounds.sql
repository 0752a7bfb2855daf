-- The events behind a tenant's texts: how many, which, and from when to when, in months that were dropped too.
select count(*), min(t.seq), max(t.seq), least(min(l.occurred_at), a.since), greatest(max(l.occurred_at), a.until)
from audit_event_texts t
left join audit_logs l on l.tenant_id = t.tenant_id and l.seq = t.seq
cross join (select min(occurred_from) as since, max(occurred_to) as until from audit_archives
            where tenant_id = %(tenant_id)s and released_at is not null and deleted_at is null) as a
where t.tenant_id = %(tenant_id)s
group by a.since, a.until
