-- The newest matching events of each of some texts, of each as many as its share, cheapest first as
-- `intelligence.search.ranking` has it: for conditions that many events fulfil, so that the newest of a text soon are
-- enough.
select seq, ord::integer
from (
    select newest.seq, g.ord, g.cost, row_number() over (partition by g.ord order by newest.seq desc) as nth
    from unnest(%(text_hashes)s::bytea[], %(costs)s::float8[], %(shares)s::integer[])
        with ordinality as g (text_hash, cost, share, ord)
    cross join lateral (
        select e.seq from audit_event_texts e
        where e.text_hash = g.text_hash and e.seq < %(before_seq)s
          and exists (select from matching m where m.seq = e.seq)
        order by e.seq desc limit g.share
    ) as newest
) as placed
order by cost + %(more)s * ln(nth) / ln(2), ord, seq desc
limit %(most)s
