-- What each person of a tenant said last of each event.
select distinct on (seq, given_by) seq, encode(event_row_hash, 'hex'), event_type, verdict, given_by::text, given_at
from audit_verdicts where tenant_id = %(tenant_id)s
order by seq, given_by, given_at desc, ledger_seq desc
