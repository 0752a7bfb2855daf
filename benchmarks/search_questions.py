"""The questions about the demo company, with what they must be understood as and which events answer them.

Here: reading `tests/labelled/questions*.tsv`, putting in persons and records of the company at hand, and the events
that are right, selected with polars from the generated events. Nothing here uses the product's search, so that a fault
in it cannot agree with itself. Not here: asking and judging (`search_quality`).
"""

import csv
import ipaddress
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import polars as pl

from audit_pipelines.generator.generate import Generated
from audit_pipelines.intelligence.render import render_texts

ROOT: Final = Path(__file__).parents[1]
SETS: Final = {
    "120 questions": ROOT / "tests" / "labelled" / "questions.tsv",
    "40 kept apart": ROOT / "tests" / "labelled" / "questions_apart.tsv",
    "40 written later": ROOT / "tests" / "labelled" / "questions_later.tsv",
    "50 unseen": ROOT / "tests" / "labelled" / "questions_unseen.tsv",
    "55 blind": ROOT / "tests" / "labelled" / "questions_blind.tsv",
    "55 of the exam": ROOT / "tests" / "labelled" / "questions_exam.tsv",
    "60 of the second exam": ROOT / "tests" / "labelled" / "questions_exam_2.tsv",
}
ZONE: Final = ZoneInfo("Europe/Berlin")
NOW: Final = datetime(2026, 11, 20, 15, tzinfo=UTC)
"""Friday, 16:00 in Berlin: where the story ends and the questions are asked."""

_PLACEHOLDER: Final = re.compile(r"\{(\w+)(?:\.(first|name))?\}")
_GROUP_COLUMNS: Final = {
    "actor": pl.col("actor"),
    "event_type": pl.col("event_type"),
    "entity": pl.col("entity_id"),
    "network": pl.col("network"),
    "outcome": pl.col("outcome"),
    "day": pl.col("local").dt.date().cast(pl.String),
    "hour": pl.col("local").dt.hour().cast(pl.String),
}


@dataclass(frozen=True)
class Asked:
    """One line of a set, with the names of the company at hand."""

    kind: str
    """`filter`, `count`, `compare`, `rank` or `meaning`."""
    text: str
    expected: Mapping[str, Any]
    relevant: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Company:
    """The generated events as a frame, and who and what the questions name."""

    events: pl.DataFrame
    names: Mapping[str, str]

    def filtered(self, expected: Mapping[str, Any]) -> pl.DataFrame:
        """Return the events that expected filters let through."""
        return self.events.filter(_filter(self, expected))

    def compared(self, expected: Mapping[str, Any]) -> pl.DataFrame:
        """Return the events of the other period of a comparison."""
        since, until = expected["compared"]
        return self.filtered({**expected, "since": since, "until": until})

    def relevant(self, asked: Asked) -> frozenset[str]:
        """Return the ids of the events that answer a question: of its own list, or all that its filters let through."""
        frame = self.filtered(asked.expected)
        if asked.relevant:
            frame = frame.filter(pl.any_horizontal(*(_filter(self, each) for each in asked.relevant)))
        return frozenset(frame["event_id"])

    def kinds(self, event_ids: Iterable[str]) -> frozenset[str]:
        """Return the event types of some events."""
        return frozenset(self.events.filter(pl.col("event_id").is_in(list(event_ids)))["event_type"])

    def ranking(self, asked: Asked) -> list[tuple[str, int]]:
        """Return the groups of a ranking and their counts, in its order; groups without a value are left out."""
        by = _GROUP_COLUMNS[asked.expected["group"]].alias("value")
        counted = self.filtered(asked.expected).select(by).drop_nulls().group_by("value").len("count")
        counted = counted.sort("count", "value", descending=[not asked.expected.get("fewest", False), False])
        return [(str(value), int(count)) for value, count in counted.iter_rows()]


def company(story: Generated) -> Company:
    """Return what questions about a generated story need."""
    rows = [
        {
            "event_id": each.event_id,
            "occurred_at": each.occurred_at,
            "local": each.occurred_at.astimezone(ZONE).replace(tzinfo=None) if each.occurred_at else None,
            "actor": each.actor,
            "event_type": each.event_type,
            "entity_type": each.entity_type,
            "entity_id": each.entity_id,
            "outcome": each.outcome,
            "ip_address": each.ip_address,
            "network": _network(each.ip_address),
            "details": msgspec.json.encode(each.details or {}).decode(),
        }
        for each in story.events
    ]
    events = pl.DataFrame(rows, infer_schema_length=None)
    events = events.with_columns(render_texts(events).alias("text"))
    return Company(events, _names(story, events))


def read(path: Path, named: Company) -> list[Asked]:
    """Read a set; raises `KeyError` for a name that no company has."""
    with path.open(newline="") as file:
        lines = csv.reader((line for line in file if not line.startswith("#")), delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Asked(kind, _put_in(text, named.names), json.loads(expected), json.loads(rest[0]) if rest else ())
            for kind, text, expected, *rest in lines
        ]


def people(named: Company, name: str) -> frozenset[str]:
    """Return the identities that a name of the expected filters stands for: `p1.first` is all who are called so."""
    key, _, part = name.partition(".")
    identity = named.names.get(key, name)
    if part != "first":
        return frozenset({identity})
    first = identity.split(".")[0] + "."
    return frozenset(each for each in named.events["actor"].unique() if each and each.startswith(first) and "@" in each)


def _names(story: Generated, events: pl.DataFrame) -> dict[str, str]:
    """Choose whom and what the questions name: the busiest of four departments, records that many have touched."""
    busy = Counter(events["actor"].to_list())
    names = {}
    for name, department in (("p1", "support"), ("p2", "engineering"), ("p3", "sales"), ("p4", "it")):
        of_it = [person.username for person in story.company.people if person.department == department]
        names[name] = max(of_it, key=lambda one: (busy[one], one))
    names["p5"] = _commonest(events.filter(event_type="iam:role.grant"), "entity_id")
    names["office_ip"] = _commonest(events, "ip_address")
    for kind in ("invoice", "customer"):
        names[kind] = _commonest(events.filter(entity_type=kind), "entity_id")
    return names


def _network(address: str | None) -> str | None:
    """Return the network that an address is counted under: its /24, of IPv6 its /48."""
    if address is None:
        return None
    bits = 24 if ipaddress.ip_address(address).version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def _commonest(events: pl.DataFrame, column: str) -> str:
    counted = events.select(column).drop_nulls().group_by(column).len().sort("len", column, descending=[True, False])
    return str(counted[column][0])


def _put_in(text: str, names: Mapping[str, str]) -> str:
    def name(match: re.Match[str]) -> str:
        words = names[match[1]].split("@")[0].split(".")
        return {"first": words[0].capitalize(), "name": " ".join(words).title(), None: names[match[1]]}[match[2]]

    return _PLACEHOLDER.sub(name, text)


def local(moment: str) -> datetime:
    """Return a moment of the expected filters, which is one of the caller's clock, in UTC."""
    return datetime.fromisoformat(moment).replace(tzinfo=ZONE).astimezone(UTC)


def _filter(named: Company, expected: Mapping[str, Any]) -> pl.Expr:
    every = [pl.lit(value=True)]
    for key, column in (("types", "event_type"), ("outcomes", "outcome")):
        if key in expected:
            every.append(pl.col(column).is_in(expected[key]))
        if f"not_{key}" in expected:
            every.append(pl.col(column).is_in(expected[f"not_{key}"]).not_().fill_null(value=True))
    for key, column in (("actors", "actor"), ("persons", "entity_id")):
        if key in expected:
            every.append(pl.col(column).is_in(_everybody(named, expected[key])))
    if "not_actors" in expected:
        every.append(pl.col("actor").is_in(_everybody(named, expected["not_actors"])).not_().fill_null(value=True))
    if "entity_ids" in expected:
        every.append(pl.col("entity_id").is_in([named.names.get(each, each) for each in expected["entity_ids"]]))
    if "since" in expected:
        every.append(pl.col("occurred_at") >= local(expected["since"]))
    if "until" in expected:
        every.append(pl.col("occurred_at") < local(expected["until"]))
    if "addresses" in expected:
        networks = [ipaddress.ip_network(named.names.get(each, each)) for each in expected["addresses"]]
        inside = [
            each
            for each in named.events["ip_address"].unique().drop_nulls()
            if any(ipaddress.ip_address(each) in network for network in networks)
        ]
        every.append(pl.col("ip_address").is_in(inside))
    every += [_holds(phrase) for phrase in expected.get("phrases", ())]
    every += [
        pl.col("details").str.contains(f'"{key}":"{value}"', literal=True)
        for key, value in expected.get("details", {}).items()
    ]
    if "hours" in expected:
        every.append(_HOURS[expected["hours"]])
    return pl.all_horizontal(*every)


def _everybody(named: Company, names: Sequence[str]) -> list[str]:
    return sorted(each for name in names for each in people(named, name))


def _holds(phrase: str) -> pl.Expr:
    """Return whether an event has a phrase in what it was done to or in its details."""
    columns = [pl.col(name).str.to_lowercase() for name in ("entity_id", "details", "event_type")]
    return pl.any_horizontal(
        *(column.str.contains(phrase.lower(), literal=True).fill_null(value=False) for column in columns)
    )


_HOUR: Final = pl.col("local").dt.hour()
_WEEKEND: Final = pl.col("local").dt.weekday() >= 6
_HOURS: Final = {
    "night": (_HOUR >= 22) | (_HOUR < 6),
    "weekend": _WEEKEND,
    "off_hours": (_HOUR < 7) | (_HOUR >= 19) | _WEEKEND,
}
