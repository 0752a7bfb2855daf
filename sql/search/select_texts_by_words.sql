-- The texts of the current tenant with any of the question's words, for when there is no vector to compare with.
select text_hash, text, null::double precision as similarity, ts_rank(to_tsvector('english', text), asked.words) as rank
from audit_embeddings,
     (select replace(plainto_tsquery('english', %(words)s)::text, '&', '|')::tsquery as words) as asked
where model = (select model from audit_embedding_models where in_use)
  and to_tsvector('english', text) @@ asked.words
order by rank desc, text_hash
limit %(most)s
