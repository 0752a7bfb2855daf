-- What classifiers said of a tenant's texts under one model holds under another until they are asked again.
update audit_embeddings e
set category = o.category, category_confidence = o.category_confidence, risk = o.risk, risk_confidence = o.risk_confidence
from audit_embeddings o
where e.tenant_id = %(tenant_id)s and e.model = %(model)s and e.category is null
  and o.tenant_id = e.tenant_id and o.model = %(former)s and o.text_hash = e.text_hash and o.category is not null
