"""Asking the trail over HTTP."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from test_server_running import Api

pytest_plugins = ["test_server_running"]

SEARCH = "/api/audit/search"


def test_first(api: Api, tenant_id: UUID) -> None:
    api.client(tenant_id).post("/api/audit/events/batch", json=[
        {"event_type": "user.login", "entity_type": "session", "entity_id": "1", "actor": "alice@example.org", "outcome": "failure"},
        {"event_type": "record.export", "entity_type": "record", "entity_id": "2", "actor": "bob@example.org", "outcome": "success"}])
    for q in ("all events", "who exported most", "failed logins by alice", "strange zebra things", "how many logins today compared with yesterday", "when did bob first export records"):
        for perms in (("audit:read",), ("audit:read","audit:admin")):
            r = api.client(tenant_id, *perms).post(SEARCH, json={"query": q})
            print(r.status_code, r.text)
    with api.installation.database.connect_admin() as conn:
        for row in conn.execute("select filters from audit_access_log").fetchall(): print(row)
    assert 0
