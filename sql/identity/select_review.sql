-- The record of one day's review.
select content from audit_reviews where day = %(day)s
