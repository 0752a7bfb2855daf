-- Which of the matching events render to some texts, by the order of the texts and the newest first: for conditions that
-- few events fulfil, so that each of those is looked up among the texts.
, few as materialized (select seq from matching)
select e.seq, g.ord::integer
from few
join audit_event_texts e on e.seq = few.seq
join unnest(%(text_hashes)s::bytea[]) with ordinality as g (text_hash, ord) on g.text_hash = e.text_hash
order by g.ord, e.seq desc
limit %(most)s
