"""Tamper-evident audit trail: a hash-chained ledger in Postgres and the lineage graph that Dagster builds from it."""
