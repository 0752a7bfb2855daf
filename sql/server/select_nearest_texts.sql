-- The texts of the current tenant nearest to a vector of the same model, nearest first: all of them are compared.
select text_hash, text, category, risk, 1 - distance as similarity
from audit_nearest_texts(%(model)s, %(embedding)s::vector, %(limit)s)
