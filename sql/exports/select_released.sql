-- How often months of the session's tenant left the database or the archive, and its newest release: whoever reads it
-- after a batch and finds it unchanged knows that the batch saw every row.
select count(released_at) + count(deleted_at) from audit_archives
