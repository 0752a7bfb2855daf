-- How often each person of the session's tenant signed in a period.
select signer_ref, count(*) from audit_signatures
where signed_at >= %(since)s and signed_at < %(until)s group by signer_ref
