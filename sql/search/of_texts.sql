-- The matching events of some texts, by the order of the texts and the newest first.
select e.seq, g.ord::integer
from unnest(%(text_hashes)s::bytea[]) with ordinality as g (text_hash, ord)
join audit_event_texts e on e.text_hash = g.text_hash
join matching m on m.seq = e.seq
order by g.ord, e.seq desc
limit %(most)s
