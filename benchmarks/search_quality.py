"""What search is worth: `python -m benchmarks --only search-quality`, over the demo company and questions about it.

Every question goes through the engine over a real database; the figures come from comparing what was understood with
the expected filters, and what was found and counted with what polars selects from the generated events. Beside it, on
the same texts and with the right filters given, Postgres full text alone and the embedding model alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from statistics import fmean
from typing import Any, Final
from uuid import UUID, uuid4

import numpy as np
import polars as pl

from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Embedder, MiniLMEmbedder, Vectors
from audit_pipelines.intelligence.search.asked import Conditions, Question
from audit_pipelines.lake.export import export_window
from audit_pipelines.search.engine import Asked as Request
from audit_pipelines.search.engine import Found, Search
from benchmarks.search_questions import NOW, SETS, ZONE, Asked, Company, company, local, people, read

SEED: Final = 7
PLACES: Final = 10
_CALL: Final = 1_000
_RUN_ID: Final = "benchmark"
_WORDS: Final = """
select t.text from audit_embeddings t,
       (select replace(plainto_tsquery('english', %(words)s)::text, '&', '|')::tsquery as words) as asked
where to_tsvector('english', t.text) @@ asked.words
order by ts_rank(to_tsvector('english', t.text), asked.words) desc, t.text
"""


@dataclass(frozen=True)
class World:
    """A tenant with the demo company's events, embedded, and what its questions are judged by."""

    installation: Installation
    tenant_id: UUID
    named: Company
    embedder: Embedder
    search: Search
    refs: Mapping[str, str]
    """The reference of each person, as text."""
    _vectors: dict[str, Vectors] = field(default_factory=dict)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, each embedded once."""
        new = [each for each in texts if each not in self._vectors]
        self._vectors.update(zip(new, self.embedder.encode(new), strict=True))
        return np.stack([self._vectors[each] for each in texts])


@dataclass(frozen=True)
class Judged:
    """How one question went; None where a figure says nothing about it."""

    asked: Asked
    faults: tuple[str, ...]
    """What was understood otherwise than expected."""
    counted: bool | None
    recall: float | None
    """Share of the relevant kinds of event among the first ten found; without kinds, of relevant events."""
    rank: float | None
    """One by the place of the first relevant event."""


@dataclass(frozen=True)
class Figures:
    """One line of the table."""

    group: str
    questions: int
    filters: float
    counts: float
    recall: float
    rank: float


def make_world(installation: Installation, embedder: Embedder | None = None, seed: int = SEED) -> World:
    """Put the company's week into a new tenant and give it texts and vectors, as the pipeline does."""
    story = generate(seed, NOW)
    tenant_id = uuid4()
    for at in range(0, len(story.events), _CALL):
        installation.ledger.append(tenant_id, story.events[at : at + _CALL])
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute("select min(recorded_at)::date, max(recorded_at)::date from audit_logs").fetchone()
    assert row is not None
    export_window(installation, row[0], row[1] + timedelta(days=1), run_id=_RUN_ID)
    embedder = embedder or MiniLMEmbedder(installation.settings.storage_dir / "embedders")
    update_embeddings(installation, embedder, run_id=_RUN_ID)
    named = company(story)
    names = sorted({*named.events["actor"].drop_nulls(), *named.events["entity_id"].drop_nulls()})
    with installation.database.tenant_connection(tenant_id) as conn:
        refs = {name: str(ref) for name, ref in installation.vault.references(conn, tenant_id, names).items()}
    return World(installation, tenant_id, named, embedder, Search(installation), refs)


def judge(world: World, asked: Asked) -> Judged:
    """Ask one question and compare."""
    found = world.search.search(world.tenant_id, request(asked.text))
    faults = tuple(_faults(world, asked, found.question))
    counted = None if asked.kind == "meaning" else _is_counted(world, asked, found)
    if asked.kind not in {"meaning", "filter"}:
        return Judged(asked, faults, counted, None, None)
    return Judged(asked, faults, counted, *_found_at(world, asked, [hit.event_id for hit in found.hits]))


def request(text: str) -> Request:
    """Return a question as the server hands it on, asked by somebody who may see names."""
    return Request(
        query=text, explicit=Conditions(), words=None, with_accesses=False, limit=PLACES, now=NOW, zone=ZONE,
        show_names=True,
    )  # fmt: skip


def alone(world: World, asked: Asked, how: str) -> tuple[float | None, float | None]:
    """Return recall and rank of one way alone, `words` or `meaning`: the newest event of each text in its order."""
    newest = dict(
        world.named.filtered(asked.expected)
        .group_by("text", maintain_order=True)
        .agg(pl.col("event_id").last())
        .iter_rows()
    )
    if how == "words":
        with world.installation.database.tenant_connection(world.tenant_id) as conn:
            texts = [text for (text,) in conn.execute(_WORDS, {"words": asked.text})]
    else:
        every = sorted(newest)
        near = world.vectors(every) @ world.embedder.encode([asked.text])[0]
        texts = [every[at] for at in np.argsort(-near, kind="stable")]
    return _found_at(world, asked, [newest[text] for text in texts if text in newest])


def figures(group: str, judged: Sequence[Judged]) -> Figures:
    """Return the means over some questions."""
    counted = [each.counted for each in judged if each.counted is not None]
    return Figures(
        group,
        len(judged),
        fmean(not each.faults for each in judged),
        fmean(counted) if counted else float("nan"),
        _mean(each.recall for each in judged),
        _mean(each.rank for each in judged),
    )


def measure(say: Callable[[str], None], world: World) -> list[dict[str, Any]]:
    """Ask every question of every set, print the table and what went wrong, and return the lines as JSON values."""
    lines: list[Figures] = []
    for name, path in SETS.items():
        questions = read(path, world.named)
        judged = [judge(world, each) for each in questions]
        by_meaning = [each for each in judged if each.asked.kind == "meaning"]
        lines.append(figures(name, judged))
        lines.append(figures(f"{name}, by meaning", by_meaning))
        for how, label in (("words", "full text alone"), ("meaning", "the model alone")):
            pairs = [alone(world, each.asked, how) for each in by_meaning]
            lines.append(
                Figures(
                    f"{name}, by meaning: {label}", len(pairs), float("nan"), float("nan"),
                    _mean(recall for recall, _ in pairs), _mean(rank for _, rank in pairs),
                )
            )  # fmt: skip
        for each in judged:
            if each.faults or each.counted is False:
                say(f"  {each.asked.text}: {'; '.join(each.faults) or 'counted otherwise'}")
    say("\n| questions | number | filters right | counts exact | recall@10 | MRR |\n|---|---|---|---|---|---|")
    for line in lines:
        say(row(line))
    return [asdict(line) for line in lines]


def row(line: Figures) -> str:
    """Return one row of a Markdown table."""
    shown = (
        f"{value:.3f}" if not math.isnan(value) else "–"
        for value in (line.filters, line.counts, line.recall, line.rank)
    )
    return f"| {line.group} | {line.questions} | " + " | ".join(shown) + " |"


def _mean(values: Iterator[float | None] | Sequence[float | None]) -> float:
    known = [each for each in values if each is not None]
    return fmean(known) if known else float("nan")


def _found_at(world: World, asked: Asked, ids: Sequence[str]) -> tuple[float | None, float | None]:
    relevant = world.named.relevant(asked)
    if not relevant:
        # Right is to find nothing.
        return (None, None) if not ids else (0.0, 0.0)
    first = next((1 / place for place, each in enumerate(ids, 1) if each in relevant), 0.0)
    right = [each for each in ids[:PLACES] if each in relevant]
    if not asked.relevant:
        return len(right) / min(PLACES, len(relevant)), first
    kinds = world.named.kinds(relevant)
    return len(world.named.kinds(right)) / len(kinds), first


def _is_counted(world: World, asked: Asked, found: Found) -> bool:
    """Return whether counts, groups and the other period's count are those of the generated events."""
    expected = asked.expected
    if found.facts.matching != world.named.filtered(expected).height:
        return False
    if "compared" in expected:
        return found.facts.compared == world.named.compared(expected).height
    if "group" not in expected:
        return True
    ranking = world.named.ranking(asked)
    top = expected.get("top", PLACES)
    got = [(each.value, each.events) for each in found.facts.groups]
    if [count for _, count in got] != [count for _, count in ranking[:top]]:
        return False
    if expected["group"] == "network":
        # Networks are shown as keyed hashes.
        return True
    named = {(world.refs.get(value, value), count) for value, count in ranking}
    return all((value.lstrip("0") or "0", count) in named or (value, count) in named for value, count in got)


def _faults(world: World, asked: Asked, question: Question) -> Iterator[str]:
    """Yield what was understood otherwise than expected."""
    expected, conditions = asked.expected, question.conditions

    def refs(key: str) -> set[str]:
        return {
            world.refs[one] for name in expected.get(key, ()) for one in people(world.named, name) if one in world.refs
        }

    def names(key: str) -> set[str]:
        return {world.named.names.get(each, each) for each in expected.get(key, ())}

    compared = question.compared_with
    pairs: list[tuple[str, Any, Any]] = [
        ("since", conditions.since, local(expected["since"]) if "since" in expected else None),
        ("until", conditions.until, local(expected["until"]) if "until" in expected else None),
        *((key, {str(one) for one in getattr(conditions, key)}, refs(key)) for key in ("actors", "not_actors")),
        *((key, set(getattr(conditions, key)), names(key)) for key in ("outcomes", "not_outcomes", "phrases")),
        # A record may be somebody, as a customer is: then it is kept by reference.
        (
            "entities",
            {world.refs.get(one, one) for one in (*conditions.entity_ids, *map(str, conditions.persons))},
            refs("persons") | {world.refs.get(one, one) for one in names("entity_ids")},
        ),
        (
            "addresses",
            {ip_network(one) for one in conditions.addresses},
            {ip_network(one) for one in names("addresses")},
        ),
        ("not_types", set(conditions.not_event_types), names("not_types")),
        ("hours", conditions.hours, expected.get("hours")),
        ("wanted", question.wanted, expected.get("wanted", "events")),
        ("group", question.group, expected.get("group")),
        ("fewest", question.fewest, expected.get("fewest", False)),
        ("top", question.top, expected.get("top")),
        ("first", question.first, expected.get("first")),
        (
            "compared",
            compared and (compared.since, compared.until),
            tuple(map(local, expected["compared"])) if "compared" in expected else None,
        ),
    ]
    yield from (f"{key}: expected {right}, got {got}" for key, got, right in pairs if got != right)
    types = set(conditions.event_types)
    if not asked.relevant and types != names("types"):
        yield f"types: expected {sorted(names('types'))}, got {sorted(types)}"
    if asked.relevant and not types <= {name for each in asked.relevant for name in each["types"]}:
        yield f"types: got {sorted(types)}, which leaves out what answers"
