-- What a whole verification of one tenant's ledger did not find again.
update audit_integrity_findings i set gone_at = clock_timestamp()
where tenant_id = %(tenant_id)s and gone_at is null
  and not exists (
      select from unnest(%(kinds)s::text[], %(seqs)s::bigint[]) as f (kind, seq)
      where f.kind = i.kind and f.seq is not distinct from i.seq)
