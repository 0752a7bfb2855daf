-- How many events match, and from when to when.
select count(*), min(occurred_at), max(occurred_at) from matching
