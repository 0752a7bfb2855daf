-- The models of a tenant whose training reached an event of a person; all of them where no range was kept. Not those
-- that came after features and texts were made anew: they saw events without a person.
select model_id, kind, encode(artefact_digest, 'hex'), training_rows,
       (select count(*) from unnest(%(seqs)s::bigint[]) as s
        where s between coalesce(m.training_first_seq, 0) and coalesce(m.training_last_seq, 9223372036854775807))
from audit_ml_models m
where tenant_id = %(tenant_id)s and training_rows > 0
  and (%(first_seq)s <= coalesce(training_last_seq, 9223372036854775807)
       and %(last_seq)s >= coalesce(training_first_seq, 0))
  and not (select coalesce(bool_and(c.done_at < m.trained_at), false) and count(*) = 2 from audit_erasure_copies c
           where c.tenant_id = m.tenant_id and c.actor_ref = %(actor_ref)s
             and c.kind in ('event_features', 'event_embeddings'))
order by trained_at, model_id
