"""The answer of a chat model: what was counted, in our words, then what of the model's its sources bear out.

Nothing of a model's answer but its checked sentences gets further than this module; filters, tenant and sources were
settled before it was asked, and it is given no means to ask for more.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, tzinfo

from audit_pipelines.errors import ChatModelError
from audit_pipelines.intelligence.answer.chat_model import ChatModel
from audit_pipelines.intelligence.answer.compose import answer_of, closing, compose, lead
from audit_pipelines.intelligence.answer.grounding import Checked, check
from audit_pipelines.intelligence.answer.model import Answer, Facts, Source
from audit_pipelines.intelligence.answer.prompt import ALIAS, prompt_for
from audit_pipelines.intelligence.search.asked import Question

logger = logging.getLogger(__name__)


class ChatAnswerer:
    """Answers questions with a chat model; without its help where it has none to give.

    Blocks for `OPENAI_TIMEOUT` at most, so an event loop calls it in a thread. Safe to share between threads.
    """

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat

    def answer(self, question: Question, facts: Facts, sources: Sequence[Source], *, zone: tzinfo = UTC) -> Answer:
        """Return an answer by the model's name, or the composed one with the reason in `without_model`.

        Every citation is a number of `sources`. The model is not asked where nothing was found. Times are in `zone`,
        the caller's. Raises nothing that the model or its server could bring about.
        """
        composed = compose(question, facts, sources, zone=zone)
        if not sources or not facts.matching:
            return composed
        prompt = prompt_for(question, facts, sources, zone)
        try:
            text = self._chat.complete(prompt.messages)
        except ChatModelError as error:
            logger.warning("composed an answer instead: %s", error)
            return replace(composed, without_model=str(error))
        checked = check(text, prompt.told, facts, zone)
        if not _is_enough(checked):
            why = f"its sources bear out {len(checked.kept)} of the {checked.said} sentences of {self._chat.name}"
            logger.warning("composed an answer instead: %s", why)
            return replace(composed, without_model=why)
        counted = answer_of(lead(question, facts, sources, zone), self._chat.name)
        ending = answer_of(closing(question, facts, zone), self._chat.name)
        told = (ALIAS.sub(lambda match: prompt.stands_for[match[0]], each.text) for each in checked.kept)
        cited = {*counted.cited, *(number for each in checked.kept for number in each.cited)}
        return Answer(" ".join([counted.text, *told, ending.text]), self._chat.name, tuple(sorted(cited)))


def _is_enough(checked: Checked) -> bool:
    """Return whether half of what was said is left: a few true sentences of a wrong answer mislead."""
    return bool(checked.kept) and 2 * len(checked.kept) >= checked.said
