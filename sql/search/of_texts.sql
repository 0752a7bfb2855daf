-- The newest matching events of each of some texts, by the order of the texts: for conditions that many events fulfil,
-- so that the newest of a text soon are enough.
select newest.seq, g.ord::integer
from unnest(%(text_hashes)s::bytea[]) with ordinality as g (text_hash, ord)
cross join lateral (
    select e.seq from audit_event_texts e
    where e.text_hash = g.text_hash and e.seq < %(before_seq)s
      and exists (select from matching m where m.seq = e.seq)
    order by e.seq desc limit %(most)s
) as newest
order by g.ord, newest.seq desc
limit %(most)s
