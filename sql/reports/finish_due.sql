-- A due report was made, if the claim still holds; in the transaction of its lineage.
update audit_due_reports
set state = 'made', claimed_until = null, output_kind = %(kind)s, output_key = %(key)s, output_digest = %(digest)s,
    made_at = %(now)s, last_error = null
where tenant_id = %(tenant_id)s and report_id = %(report_id)s and due_at = %(due_at)s
  and state = 'making' and claimed_until = %(claimed_until)s
