-- Which of the matching events render to some texts, cheapest first as `intelligence.search.ranking` has it: for
-- conditions that few events fulfil, so that each of those is looked up among the texts.
, few as materialized (select seq from matching)
select seq, ord::integer
from (
    select e.seq, g.ord, g.cost, row_number() over (partition by g.ord order by e.seq desc) as nth
    from few
    join audit_event_texts e on e.seq = few.seq
    join unnest(%(text_hashes)s::bytea[], %(costs)s::float8[]) with ordinality as g (text_hash, cost, ord)
      on g.text_hash = e.text_hash
) as placed
order by cost + %(more)s * ln(nth) / ln(2), ord, seq desc
limit %(most)s
