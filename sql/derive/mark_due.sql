-- Mark archives that are older than they need be kept.
select audit_mark_due(%(before)s)
