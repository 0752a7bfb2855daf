-- What a person signed.
select to_jsonb(s) - 'tenant_id' from audit_signatures s
where tenant_id = %(tenant_id)s and signer_ref = %(actor_ref)s order by signed_at
