-- Which text each of some events renders to.
select seq, text_hash from audit_event_texts
where tenant_id = %(tenant_id)s and seq = any (%(seqs)s) order by seq
