-- A tenant's distinct texts with their vectors, how many events each stands for, and the first of them.
select e.text_hash, e.text, e.embedding::text, count(t.seq), coalesce(min(t.seq), 0)
from audit_embeddings e
left join audit_event_texts t on t.tenant_id = e.tenant_id and t.text_hash = e.text_hash
where e.tenant_id = %(tenant_id)s and e.model = %(model)s and e.embedding is not null
group by e.text_hash, e.text, e.embedding::text
order by e.text collate "C"
