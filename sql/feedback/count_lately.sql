-- How many verdicts a person of the session's tenant gave within an hour.
select count(*) from audit_verdicts
where given_by = %(given_by)s and given_at > clock_timestamp() - interval '1 hour'
