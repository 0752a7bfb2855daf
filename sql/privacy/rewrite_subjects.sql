-- The vault's rows in a new file, without what erasures left in the pages of the old one.
select audit_rewrite_subjects()
