"""A question, its facts and its events, as a search hands them to an answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from audit_pipelines.intelligence.answer.model import Facts, Source
from audit_pipelines.intelligence.search.asked import Person, Question, Vocabulary
from audit_pipelines.intelligence.search.question import understand

ALICE: Final = UUID("aaaaaaaa-0000-4000-8000-000000000001")
BOB: Final = UUID("bbbbbbbb-0000-4000-8000-000000000002")
NOW: Final = datetime(2026, 11, 26, 10, tzinfo=UTC)
BERLIN: Final = ZoneInfo("Europe/Berlin")
VOCABULARY: Final = Vocabulary(
    ("user.login", "document.delete", "payroll.export", "iam:PutUserPolicy"),
    ("user", "document", "payroll"),
    ("success", "failure", "denied"),
    lambda text: {
        "alice": Person((ALICE,), "alice@example.com"),
        "alice@example.com": Person((ALICE,), "alice@example.com"),
        "bob": Person((BOB,), "bob@example.com"),
        "grant": Person((BOB,), "Grant Miller"),
    }.get(text.lower()),
)


def ask(text: str) -> Question:
    """Return the question as it is understood in Berlin."""
    return understand(text, VOCABULARY, now=NOW, zone=BERLIN)


def source(number: int = 1, **changed: object) -> Source:
    """Return an event that happened so many hours and seconds before now."""
    plain = Source(
        number=number,
        event_id=f"event-{number}",
        seq=number + 100,
        row_hash=f"{number:064x}",
        occurred_at=NOW - timedelta(hours=number, seconds=number),
        event_type="document.delete",
        entity_type="document",
        entity_id=f"INV-{number}",
        outcome="success",
        actor_ref=ALICE,
        text="document delete; document; success",
    )
    return replace(plain, **changed)  # type: ignore[arg-type]


SOURCES: Final = (
    source(1),
    source(
        2,
        event_type="user.login",
        entity_type="user",
        entity_id=str(ALICE),
        outcome="failure",
        text="user login; user; failure; without mfa",
    ),
    source(
        3,
        event_type="iam:PutUserPolicy",
        entity_type="user",
        entity_id=str(BOB),
        actor_ref=BOB,
        outcome="denied",
        text="iam put user policy; user; denied; administrator access",
    ),
    source(
        4,
        event_type="backup.run",
        entity_type=None,
        entity_id=None,
        actor_ref=None,
        outcome=None,
        text="backup run; entity; outcome unknown",
    ),
)


def facts(matching: int = len(SOURCES), **changed: object) -> Facts:
    """Return what was counted over these events."""
    return Facts(matching=matching, first_at=SOURCES[-1].occurred_at, last_at=SOURCES[0].occurred_at, **changed)  # type: ignore[arg-type]
