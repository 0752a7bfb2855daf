-- Who logged in right after at least three log-ins that failed?
-- Reading: a guessed password looks like this, and so does a forgotten one. Look at runs from a network that the actor
-- never used, and at runs of minutes rather than days.
-- Columns: actor_ref, first_failed_at, succeeded_at, failures in the run, networks the run came from.
with logins as (
    select actor_ref, seq, occurred_at, outcome, network,
           count(*) filter (where outcome = 'success')
               over (partition by actor_ref order by occurred_at, seq
                     rows between unbounded preceding and 1 preceding) as run
    from events
    where lower(event_type) like '%login%' and actor_ref is not null
)
select actor_ref, min(occurred_at) as first_failed_at, max(occurred_at) as succeeded_at,
       count(*) filter (where outcome in ('failure', 'denied')) as failures, count(distinct network) as networks
from logins
group by actor_ref, run
having count(*) filter (where outcome in ('failure', 'denied')) >= 3 and count(*) filter (where outcome = 'success') = 1
order by failures desc, succeeded_at, actor_ref
