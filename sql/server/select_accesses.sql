-- One page of the current tenant's access log by seq, one row more than the page to tell whether there is another. Rows
-- of before accesses had entries have no seq and are not among them.
with matching as not materialized (
    select seq, event_id, row_hash, accessed_at, subject_ref, action, filters, result_count, ip_address, ip_index,
           user_agent
    from audit_access_log
    where seq is not null
      and (%(actor_ref)s::uuid is null or subject_ref = %(actor_ref)s)
      and (%(action)s::text is null or action = %(action)s)
      and (%(since)s::timestamptz is null or accessed_at >= %(since)s)
      and (%(until)s::timestamptz is null or accessed_at < %(until)s)
)
-- include next_of_matching
