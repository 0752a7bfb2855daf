-- What is kept of the ids and links of a range of a tenant's archived rows.
select first_seq, last_seq, least_id, greatest_id, ids, links from audit_archived_ids
where tenant_id = %(tenant_id)s and first_seq between %(first_seq)s and %(last_seq)s
order by first_seq
