-- One page of what matches by seq, one row more to tell whether there is another. It ends early when its entries grow
-- beyond max_bytes; sizes are read without fetching the entries.
, page as (
    -- include next_of_matching
), sized as (
    select *, count(*) over () as found, row_number() over in_order as place,
           sum(octet_length(entry)) over in_order as bytes
    from page
    window in_order as (order by case when %(newest)s::boolean then -seq else seq end rows unbounded preceding)
)
select tenant_id, seq, recorded_at, event_id, entry, entry_hash, prev_hash, row_hash, occurred_at, actor_ref, event_type,
       entity_type, entity_id, outcome, ip_address, ip_index, user_agent, found
from sized
where place <= %(limit)s and (place = 1 or bytes <= %(max_bytes)s)
order by place
