-- On which days a range of a tenant's archived rows was recorded.
select day::text, first_seq, last_seq from audit_archived_days
where tenant_id = %(tenant_id)s and first_seq between %(first_seq)s and %(last_seq)s
order by first_seq
