-- One read, in the transaction of the read itself; nothing is inserted for a reader who was erased.
insert into audit_access_log (tenant_id, subject_ref, action, filters, result_count)
select %(tenant_id)s, %(subject_ref)s, %(action)s, %(filters)s, %(result_count)s
where exists (select from audit_subjects where actor_ref = %(subject_ref)s and erased_at is null)
