-- A signed checkpoint; the key (tenant, size) lets one of several sealers win.
insert into audit_checkpoints (tenant_id, size, root, chain_head, frontier, note, key_id, sealed_at)
values (%(tenant_id)s, %(size)s, %(root)s, %(chain_head)s, %(frontier)s, %(note)s, %(key_id)s, %(sealed_at)s)
on conflict do nothing
