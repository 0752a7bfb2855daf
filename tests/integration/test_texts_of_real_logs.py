"""What real logs become as texts: few, and without anybody or anything in them that could be named."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.run import run_import
from audit_pipelines.intelligence.render import COLUMNS, VOCABULARY, label_words, parse_text, render_texts
from audit_pipelines.ledger.event import Event

DATA = Path(os.environ.get("AUDIT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
LOGS = ("cloudtrail-stratus", "cloudtrail-otrf", "hospital-billing", "panther-rule-tests")

pytestmark = [
    pytest.mark.needs_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real logs are not here; set AUDIT_TEST_DATA to their folder"),
]

NAMEABLE = re.compile(
    r"@|://|arn:"
    r"|\d{1,3}(\.\d{1,3}){3}|([0-9a-f]{1,4}:){3}"
    r"|(akia|asia|aroa|aida)[a-z0-9]{8}|(gh[pousr]|sk|xox[abp])[-_]\w{8}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f]{10}|\d{4}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Stored:
    stored: int
    duplicates: int


@cache
def rendered(name: str) -> list[tuple[Event, str]]:
    """Events as the importer makes them, nothing sealed yet, with their texts."""
    events: list[Event] = []

    def append(batch: Sequence[Event]) -> Stored:
        events.extend(batch)
        return Stored(len(batch), 0)

    run_import([DATA / name], FORMATS["cloudtrail" if name.startswith("cloudtrail") else "ndjson"], append)
    rows = [(one.event_type, one.entity_type, one.outcome, json.dumps(one.details)) for one in events]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")
    return list(zip(events, render_texts(frame).to_list(), strict=True))


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("cloudtrail-stratus", 0.20),
        ("cloudtrail-otrf", 0.36),
        ("hospital-billing", 0.001),
        ("panther-rule-tests", 0.67),
    ],
)
def test_events_have_few_texts(name: str, most: float) -> None:
    """Snippets of 70 products, one a rule, have most; three years of one system have 27."""
    texts = [text for _, text in rendered(name)]
    share = len(set(texts)) / len(texts)
    print(f"{name}: {len(set(texts)):,} texts of {len(texts):,} events, {share:.2%}")  # noqa: T201 - asked for with -s
    assert share <= most


@pytest.mark.parametrize("name", LOGS)
def test_nothing_that_can_be_named_is_in_a_text(name: str) -> None:
    assert [text for _, text in rendered(name) if NAMEABLE.search(text)] == []


@pytest.mark.parametrize("name", LOGS)
def test_no_word_of_an_actor_gets_in_by_the_details(name: str) -> None:
    """`aws`, `get` and the like are in names of roles too, and in event types, which are labels of the application."""
    for event, text in rendered(name):
        details = set(re.findall(r"\w+", parse_text(text).details))
        assert details <= VOCABULARY, text
        labels = {*label_words(event.event_type).split(), *label_words(event.entity_type).split()}
        actor = {word for word in re.split(r"[\W_]+", (event.actor or "").lower()) if len(word) > 2}
        outcomes = {"success", "failure", "denied", "outcome", "unknown", "event", "entity"}
        assert not (set(re.findall(r"\w+", text)) & actor) - VOCABULARY - labels - outcomes, text
