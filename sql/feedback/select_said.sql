-- What each person of the session's tenant said last of each event since a time, and the score it had.
select distinct on (given_by, seq) given_by::text, verdict, score
from audit_verdicts where given_at > %(since)s
order by given_by, seq, given_at desc, ledger_seq desc
