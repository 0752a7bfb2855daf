-- One attempt to anchor a checkpoint: the first makes the row, later ones count up until it is anchored.
insert into audit_anchorings as a
    (tenant_id, anchor, size, attempts, last_tried_at, next_try_at, last_error, anchored_at, receipt)
values (%(tenant_id)s, %(anchor)s, %(size)s, 1, %(tried_at)s, %(next_try_at)s, %(error)s, %(anchored_at)s, %(receipt)s)
on conflict (tenant_id, anchor, size) do update
set attempts = a.attempts + 1, last_tried_at = excluded.last_tried_at, next_try_at = excluded.next_try_at,
    last_error = excluded.last_error, anchored_at = excluded.anchored_at, receipt = excluded.receipt
where a.anchored_at is null
