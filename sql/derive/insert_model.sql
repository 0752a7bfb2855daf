-- A newly trained model with the root of the first checkpoint that covers its training rows; nothing if it is there.
insert into audit_ml_models (
    tenant_id, model_id, kind, artefact_digest, artefact_path, training_rows, training_first_seq, training_last_seq,
    training_from, training_to, training_root, parameters, metrics, code_version, run_id)
values (
    %(tenant_id)s, %(model_id)s, %(kind)s, %(digest)s, %(path)s, %(rows)s, %(first_seq)s, %(last_seq)s,
    %(since)s, %(until)s,
    (select c.root from audit_checkpoints c
     where c.tenant_id = %(tenant_id)s and c.size > %(last_seq)s order by c.size limit 1),
    %(parameters)s::jsonb, %(metrics)s::jsonb, %(code_version)s, %(run_id)s)
on conflict (tenant_id, model_id) do nothing
returning model_id
