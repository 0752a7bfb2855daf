-- The texts of the current tenant nearest to a vector of the same model, with how well the question's words match them.
select text_hash, text, 1 - distance as similarity,
       ts_rank(to_tsvector('english', text), replace(plainto_tsquery('english', %(words)s)::text, '&', '|')::tsquery)
from audit_nearest_texts(%(model)s, %(embedding)s::vector, %(most)s)
