-- Waits until nobody else works on the stage; freed at the end of the transaction.
select pg_advisory_xact_lock(hashtextextended(%(stage)s, 0))
