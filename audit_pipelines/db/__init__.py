"""Reaching Postgres: the embedded server, connections by role, migrations and named queries."""
