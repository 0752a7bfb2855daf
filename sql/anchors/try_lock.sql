-- One run at a time sends checkpoints to anchors; whoever comes second leaves it to the first.
select pg_try_advisory_xact_lock(hashtextextended('anchoring', 0))
