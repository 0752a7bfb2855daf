-- The names of the master keys that living persons' keys are wrapped in.
select distinct master_key_id from audit_subjects where wrapped_key is not null
