-- What there was to look at on a day; the first record of a day is the one that people sign.
insert into audit_reviews (tenant_id, day, content, digest)
values (%(tenant_id)s, %(day)s, %(content)s, sha256(%(content)s))
on conflict do nothing
