-- A hold, in the transaction of the event that says so.
insert into audit_legal_holds (tenant_id, hold_id, reason, filters, placed_by)
values (%(tenant_id)s, %(hold_id)s, %(reason)s, %(filters)s, %(by)s)
