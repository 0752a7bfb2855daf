-- Which text each event of a tenant renders to.
select seq, text_hash from audit_event_texts
where tenant_id = %(tenant_id)s and seq <= %(through_seq)s order by seq
