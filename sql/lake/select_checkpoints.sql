-- All checkpoints, with the columns of the lake's copy in its order.
select tenant_id::text, size, encode(root, 'hex'), encode(chain_head, 'hex'), sealed_at, key_id, note
from audit_checkpoints order by tenant_id, size
