-- Why a person of the session's tenant may not be erased, the oldest hold first.
select reason from audit_legal_holds
where tenant_id = %(tenant_id)s and released_at is null and audit_hold_concerns(tenant_id, filters, %(actor_ref)s)
order by placed_at limit 1
