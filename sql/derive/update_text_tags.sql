-- What the classifiers say of each text; texts whose labels stay are not written.
update audit_embeddings e
set category = g.category, category_confidence = g.category_confidence,
    risk = g.risk, risk_confidence = g.risk_confidence
from unnest(%(text_hash)s::bytea[], %(category)s::text[], %(category_confidence)s::real[], %(risk)s::text[],
            %(risk_confidence)s::real[]) as g (text_hash, category, category_confidence, risk, risk_confidence)
where e.tenant_id = %(tenant_id)s and e.model = %(model)s and e.text_hash = g.text_hash
  and (e.category, e.category_confidence, e.risk, e.risk_confidence)
      is distinct from (g.category, g.category_confidence, g.risk, g.risk_confidence)
