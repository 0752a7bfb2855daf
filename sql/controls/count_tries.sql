-- Logins and signatures of the session's tenant that were refused, and locked accounts, as its ledger has them.
select count(*) filter (where event_type in ('audit.account.login', 'audit.signature.refused')
                              and outcome in ('failure', 'denied')),
       count(*) filter (where event_type = 'audit.account.locked')
from audit_logs
where event_type in ('audit.account.login', 'audit.account.locked', 'audit.signature.refused')
