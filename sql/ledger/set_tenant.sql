-- The tenant whose rows the rest of this transaction sees.
select set_config('app.current_tenant_id', %(tenant_id)s::text, true)
