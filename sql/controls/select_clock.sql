-- The database's clock, and when it says that the tenant's newest row was recorded.
select clock_timestamp(), (select recorded_at from audit_chain_heads
                           where tenant_id = %(tenant_id)s and recorded_at > '-infinity')
