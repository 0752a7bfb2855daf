-- A suppression, in the transaction of the event that says so.
insert into audit_suppressions (tenant_id, suppression_id, actor_ref, event_type, entity_type, entity_id, network_index,
                                reason, placed_by, ends_at)
values (%(tenant_id)s, %(suppression_id)s, %(actor_ref)s, %(event_type)s, %(entity_type)s, %(entity_id)s,
        %(network_index)s, %(reason)s, %(placed_by)s, %(ends_at)s)
