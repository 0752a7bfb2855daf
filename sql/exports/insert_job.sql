-- A new job of the session's tenant, unless it has as many open ones as it may.
insert into audit_exports (tenant_id, export_id, format, state, requested_ref, with_names, asked, sealed_question, head_seq)
select %(tenant_id)s, %(export_id)s, %(format)s, 'waiting', %(requested_ref)s, %(with_names)s, %(asked)s,
       %(sealed_question)s, %(head_seq)s
where (select count(*) from audit_exports where state in ('waiting', 'running')) < %(most)s
