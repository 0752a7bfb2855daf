-- From the end of this transaction on new keys are wrapped in this one.
select audit_use_master_key(%(master_key_id)s)
