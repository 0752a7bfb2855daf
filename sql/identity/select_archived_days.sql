-- Days of a tenant whose month was dropped, with their rows, their month, and whether it was deleted by approval.
select d.day, d.first_seq, d.last_seq, a.month, a.deleted_at is not null
from audit_archived_days d
join audit_archives a on a.tenant_id = d.tenant_id and d.first_seq between a.first_seq and a.last_seq
                     and a.released_at is not null
where d.tenant_id = %(tenant_id)s
  and d.day >= (%(since)s::timestamptz at time zone 'UTC')::date
  and d.day < (%(until)s::timestamptz at time zone 'UTC')::date
order by d.day
