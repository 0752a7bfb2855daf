-- End a suppression of the session's tenant that is in force; nothing where it is not, or is none.
update audit_suppressions set ended_at = clock_timestamp(), ended_by = %(ended_by)s
where suppression_id = %(suppression_id)s and ended_at is null and ends_at > clock_timestamp()
