"""Whether the job that runs every 15 minutes keeps up with 500 events a second, and where its time goes."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from audit_pipelines.derive.embeddings import update_embeddings
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import MiniLMEmbedder, Vectors
from audit_pipelines.intelligence.render import COLUMNS, render_texts
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event
from benchmarks.rates import Figure, timed

EVENTS: Final = 450_000
"""What comes in 15 minutes."""

PERIOD_S: Final = 900.0
TENANTS: Final = 10
_CALL: Final = 1_000
_RUN_ID: Final = "benchmark"


class _Timed:
    """MiniLM with a clock."""

    def __init__(self, embedder: MiniLMEmbedder) -> None:
        self.name, self.dimension, self.digest = embedder.name, embedder.dimension, embedder.digest
        self.seconds = 0.0
        self.texts: list[str] = []
        self._embedder = embedder

    def encode(self, texts: Sequence[str]) -> Vectors:
        begun = time.perf_counter()
        vectors = self._embedder.encode(texts)
        self.seconds += time.perf_counter() - begun
        self.texts += texts
        return vectors


def embedding_figures(installation: Installation) -> Iterator[Figure]:
    """Yield the figure of 450,000 events of ten new tenants, each a company of its own: no text is known before."""
    tenants = [uuid4() for _ in range(TENANTS)]
    for seed, tenant in enumerate(tenants):
        story = _story(seed, EVENTS // TENANTS)
        for at in range(0, len(story), _CALL):
            installation.ledger.append(tenant, story[at : at + _CALL])
    today = datetime.now(UTC).date()
    export_window(installation, today - timedelta(days=1), today + timedelta(days=1), run_id=_RUN_ID)
    embedder = _Timed(MiniLMEmbedder(installation.settings.storage_dir / "embedders"))
    embedder.encode(["the graph is written and loaded before the clock runs"])
    embedder.seconds, embedder.texts = 0.0, []

    seconds = timed(lambda: update_embeddings(installation, embedder, run_id=_RUN_ID))
    lake = Lake(installation.settings.lake_dir)
    frames = [lake.events(tenant, columns=COLUMNS) for tenant in tenants]
    render_s = timed(lambda: [render_texts(frame) for frame in frames])
    again_s = timed(lambda: update_embeddings(installation, embedder, run_id=_RUN_ID))
    texts, distinct = len(embedder.texts), len(set(embedder.texts))
    yield Figure(
        f"embedding {EVENTS:,} events ÷ the {PERIOD_S:.0f} s in which they come",
        [seconds / PERIOD_S],
        1.0,
        at_most=True,
        note=f"{seconds:.1f} s: render {render_s:.1f}, embed {embedder.seconds:.1f}, read and insert "
        f"{seconds - render_s - embedder.seconds:.1f}; with nothing new {again_s:.2f} s",
    )
    yield Figure(
        "distinct texts ÷ events, per tenant",
        [100 * texts / EVENTS],
        5.0,
        at_most=True,
        unit="%",
        note=f"{texts:,} texts in {TENANTS} tenants; a cache between tenants, which there is none of, would save "
        f"{texts - distinct:,} of them: {(texts - distinct) / max(texts, 1) * embedder.seconds:.1f} s, once",
    )


def _story(seed: int, count: int) -> list[Event]:
    end = datetime(2026, 11, 20, tzinfo=UTC)
    return generate(seed, end, days=4, people=450, services=70).events[:count]
