-- The ledger's monthly partitions and what each takes on disk, the oldest first.
select substr(c.relname, 12, 4) || '-' || substr(c.relname, 16, 2), pg_total_relation_size(c.oid)
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'audit_logs'::regclass and c.relname ~ '^audit_logs_[0-9]{6}$'
order by c.relname
