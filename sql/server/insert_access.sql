-- One read, in the read's own transaction.
insert into audit_access_log (tenant_id, subject_ref, action, filters, result_count)
values (%(tenant_id)s, %(subject_ref)s, %(action)s, %(filters)s, %(result_count)s)
