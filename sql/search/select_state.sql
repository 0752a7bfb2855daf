-- What the current tenant's answers depend on: how long its chain is, how many persons it erased, which model it uses,
-- and how far its events have texts.
select h.next_seq, h.erasures, (select model from audit_embedding_models where in_use),
       (select coalesce(max(seq) + 1, 0) from audit_event_texts)
from audit_chain_heads h
