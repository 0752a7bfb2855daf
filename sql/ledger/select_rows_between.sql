-- Rows of a tenant that should not be there, the first few: their months are in the archive.
select seq from audit_logs
where tenant_id = %(tenant_id)s and seq between %(first_seq)s and %(last_seq)s
order by seq limit 5
