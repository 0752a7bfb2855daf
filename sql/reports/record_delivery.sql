-- What came of an attempt, unless the claim ran out and somebody else has the message now.
update audit_report_deliveries
set state = %(state)s, last_error = %(error)s, claimed_until = null,
    delivered_at = case when %(state)s = 'delivered' then %(now)s end,
    next_try_at = %(now)s + %(pause)s::interval
where tenant_id = %(tenant_id)s and delivery_id = %(delivery_id)s
  and state = 'sending' and claimed_until = %(claimed_until)s
