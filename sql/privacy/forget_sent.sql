-- Forget to whom messages were sent; those that wait are given up.
update audit_report_deliveries
set sealed_recipient = null,
    state = case when state in ('waiting', 'sending') then 'dead' else state end, claimed_until = null,
    last_error = case when state in ('waiting', 'sending') then 'the recipient was erased' else last_error end
where delivery_id = any (%(deliveries)s)
