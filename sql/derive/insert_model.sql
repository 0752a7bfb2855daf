-- A newly trained model with size and root of the newest checkpoint, if it covers its rows; nothing if it is there.
insert into audit_ml_models (
    tenant_id, model_id, kind, artefact_digest, artefact_path, training_rows, training_first_seq, training_last_seq,
    training_from, training_to, training_tree_size, training_root, parameters, metrics, code_version, run_id)
select
    %(tenant_id)s, %(model_id)s, %(kind)s, %(digest)s, %(path)s, %(rows)s, %(first_seq)s, %(last_seq)s,
    %(since)s, %(until)s, c.size, c.root, %(parameters)s::jsonb, %(metrics)s::jsonb, %(code_version)s, %(run_id)s
from (select) as always
left join (
    select size, root from audit_checkpoints where tenant_id = %(tenant_id)s and size > %(last_seq)s
    order by size desc limit 1) as c on true
on conflict (tenant_id, model_id) do nothing
returning model_id
