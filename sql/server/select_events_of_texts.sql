-- The newest events of the current tenant that render to one of some texts.
select seq, text_hash from audit_event_texts
where text_hash = any (%(text_hashes)s)
order by seq desc limit %(limit)s
