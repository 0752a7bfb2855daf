-- How long the vectors of a server's model were when it was last used, by whatever tenant.
select dimension from audit_embedding_models
where name = %(name)s and source = %(source)s order by used_at desc limit 1
