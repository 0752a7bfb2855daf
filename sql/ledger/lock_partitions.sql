-- Keeps months from being dropped until the end of the transaction; the first statement, before its snapshot is taken.
lock table audit_logs in access share mode
