-- The newest event of a tenant that a checkpoint covers and that is still in the database.
select l.event_id from audit_logs l
where l.tenant_id = %(tenant_id)s
  and l.seq < (select max(size) from audit_checkpoints where tenant_id = %(tenant_id)s)
order by l.seq desc limit 1
