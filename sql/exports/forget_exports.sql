-- Rows about exports that ended long ago; the ledger keeps the events that say the same.
delete from audit_exports where finished_at < clock_timestamp() - %(kept)s::interval and state <> 'ready'
