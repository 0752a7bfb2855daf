-- Who of the session's tenant read what in a period, and how often.
select subject_ref, count(*), array_agg(distinct action order by action), max(accessed_at)
from audit_access_log
where subject_ref is not null and accessed_at >= %(since)s and accessed_at < %(until)s
group by subject_ref order by count(*) desc, subject_ref
