"""What search is worth over the demo company: floors under the figures that `python -m benchmarks` prints."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean
from typing import Final

import pytest

from audit_pipelines.db.database import Database
from audit_pipelines.installation import assemble
from audit_pipelines.intelligence.render import label_words
from audit_pipelines.intelligence.search.asked import Conditions, Question
from audit_pipelines.intelligence.search.deeds import deeds, deeds_of
from audit_pipelines.intelligence.search.ranking import Candidate, rank
from audit_pipelines.intelligence.search.readings import readings
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import Settings
from benchmarks.search_quality import PLACES, Judged, World, alone, figures, judge, make_world
from benchmarks.search_questions import ROOT, SETS, read

PRODUCTS: Final = ROOT / "tests" / "labelled" / "questions_products.tsv"
# Filters right, counts exact, recall@10, mean reciprocal rank.
_FLOORS: Final = {
    "50 unseen": (0.95, 0.9, 0.91, 0.9),
    "55 blind": (0.98, 0.98, 0.96, 0.92),
    "55 of the exam": (0.98, 0.98, 0.96, 0.97),
    "60 of the second exam": (0.93, 0.86, 0.91, 0.88),
}


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    fresh_database: Callable[[Settings], AbstractContextManager[Database]],
    lend_embedder: Callable[[Settings], None],
) -> Iterator[World]:
    """The company's week in a ledger, embedded once for all questions."""
    home: Path = tmp_path_factory.mktemp("search-quality") / "home"
    settings = Settings(_env_file=None, audit_home=home)
    lend_embedder(settings)
    with fresh_database(settings) as database:
        yield make_world(assemble(settings, open_keyring(settings), database))


@pytest.fixture(scope="module")
def judged(world: World) -> dict[str, list[Judged]]:
    """The sets that a floor is put under, asked once."""
    asked = {name: path for name, path in SETS.items() if name != "40 written later"}
    return {name: [judge(world, each) for each in read(path, world.named)] for name, path in asked.items()}


def test_the_sets_hold_what_they_promise() -> None:
    kinds = {
        name: [line.split("\t")[0] for line in path.read_text().splitlines() if not line.startswith("#")]
        for name, path in SETS.items()
    }
    first = kinds["120 questions"]
    assert len(first) == 120
    assert sum(kind in {"count", "compare", "rank"} for kind in first) >= 30
    assert first.count("filter") >= 30
    assert len(kinds["40 kept apart"]) == 40
    questions = [
        line.split("\t")[1] for path in SETS.values() for line in path.read_text().splitlines() if line[0] != "#"
    ]
    # Whoever wrote the second exam had not seen the other sets.
    assert {text for text, times in Counter(questions).items() if times > 1} == {"job applicants"}


@pytest.mark.parametrize("name", ["120 questions", "40 kept apart"])
def test_filters_counts_recall_and_rank(judged: dict[str, list[Judged]], name: str) -> None:
    """Measured: filters 1.0, counts 1.0, recall 1.00 and 0.98, rank 0.98 and 1.00."""
    of_set = judged[name]
    measured = figures(name, of_set)
    wrong = [(each.asked.text, each.faults) for each in of_set if each.faults]
    assert measured.filters >= 0.95, wrong
    assert all(each.counted is not False for each in of_set), [one.asked.text for one in of_set if one.counted is False]
    assert measured.recall >= 0.93
    assert measured.rank >= 0.75


@pytest.mark.parametrize("name", ["50 unseen", "55 blind", "55 of the exam", "60 of the second exam"])
def test_questions_that_the_rules_were_not_made_with(judged: dict[str, list[Judged]], name: str) -> None:
    """Floors a little under what docs/benchmarks.md has; of the second exam, what it had when it was first asked."""
    measured = figures(name, judged[name])
    filters, counts, recall, rank = _FLOORS[name]
    assert measured.filters >= filters
    assert measured.counts >= counts
    assert measured.recall >= recall
    assert measured.rank >= rank


def test_kinds_of_other_products_are_read_too(world: World) -> None:
    """Measured: recall 0.96 to 1.00, rank 0.85 to 0.96; the words of the types alone 0.83 to 1.00 and 0.74 to 0.87."""
    kinds: dict[str, list[str]] = {}
    recalls: dict[str, list[float]] = {}
    ranks: dict[str, list[float]] = {}
    for line in PRODUCTS.read_text().splitlines():
        if line.startswith("#"):
            continue
        product, question, listed = line.split("\t")
        types = json.loads(listed)
        if not question:
            kinds[product] = types
            continue
        found = _types_by_meaning(world, kinds[product], question)
        recalls.setdefault(product, []).append(len({*found[:PLACES]} & {*types}) / len(types))
        ranks.setdefault(product, []).append(1 / (1 + min(found.index(each) for each in types)))
    assert set(kinds) == {"cloudtrail", "okta", "github", "kubernetes"}
    for product in kinds:
        assert fmean(recalls[product]) >= 0.93, product
        assert fmean(ranks[product]) >= 0.75, product


def _types_by_meaning(world: World, kinds: list[str], question: str) -> list[str]:
    """Return the kinds in the order in which a search has their texts, were these the words of the type."""
    vector = world.embedder.encode([question])[0]
    words = [label_words(each) for each in kinds]
    own = world.vectors(words) @ vector
    read = [float((world.vectors(readings(each)) @ vector).max()) for each in words]
    candidates = [
        Candidate(kind.encode(), kind, float(near), reading, done=bool(deeds(question) & deeds_of(each)))
        for kind, each, near, reading in zip(kinds, words, own, read, strict=True)
    ]
    asked = Question(question, "events", Conditions())
    return [one.text_hash.decode() for one in rank(asked, candidates)]


def test_search_is_better_than_either_of_its_parts(world: World, judged: dict[str, list[Judged]]) -> None:
    for name, of_set in judged.items():
        by_meaning = [each for each in of_set if each.asked.kind == "meaning"]
        ours = figures(name, by_meaning)
        for how in ("words", "meaning"):
            pairs = [alone(world, each.asked, how) for each in by_meaning]
            recall = sum(recall or 0.0 for recall, _ in pairs) / len(pairs)
            rank = sum(rank or 0.0 for _, rank in pairs) / len(pairs)
            assert ours.recall > recall, (name, how)
            assert ours.rank > rank, (name, how)
