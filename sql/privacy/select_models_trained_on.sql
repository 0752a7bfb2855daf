-- The models of a tenant whose training reached an event of a person; all of them where no range was kept.
select model_id, kind, encode(artefact_digest, 'hex'), training_rows,
       (select count(*) from unnest(%(seqs)s::bigint[]) as s
        where s between coalesce(m.training_first_seq, 0) and coalesce(m.training_last_seq, 9223372036854775807))
from audit_ml_models m
where tenant_id = %(tenant_id)s and training_rows > 0
  and (%(first_seq)s <= coalesce(training_last_seq, 9223372036854775807)
       and %(last_seq)s >= coalesce(training_first_seq, 0))
order by trained_at, model_id
