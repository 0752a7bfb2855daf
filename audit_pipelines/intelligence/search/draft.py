"""A question while it is read: what of it is still unread, and what was understood so far.

Each reader takes the words that it understands out of the text; what is taken becomes spaces, so that places stay. No
rule of English is here.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from audit_pipelines.intelligence.search.asked import Conditions, Hours, Understood
from audit_pipelines.intelligence.search.spelling import Typed

# How far back a word may stand that says what something is there for; bounds the work on long questions.
_BACK: Final = 60


class Draft:
    """The unread rest of a question, and its conditions."""

    def __init__(self, original: str, typed: Typed) -> None:
        self._original = original
        self._origin = typed.origin
        self.text = typed.text
        self.rest = typed.text
        self._taken = bytearray(len(typed.text))
        self.conditions = Conditions()
        self.understood: list[Understood] = []

    def take(self, start: int, end: int, field: str, value: str) -> None:
        """Note what the words of a place became, and take them out of the rest."""
        self.understood.append(Understood(self._as_typed(start, end), field, value))
        self.blank(start, end)

    def blank(self, start: int, end: int) -> None:
        """Take words out of the rest that say nothing on their own."""
        self.rest = self.rest[:start] + " " * (end - start) + self.rest[end:]
        self._taken[start:end] = b"\1" * (end - start)

    def untaken(self) -> str:
        """Return what nobody has taken, in the words of the text."""
        kept = (" " if gone else character for character, gone in zip(self.text, self._taken, strict=True))
        return " ".join("".join(kept).split())

    def note(self, words: str, field: str, value: str) -> None:
        """Note what words became that stand in several places, or were left in the rest."""
        self.understood.append(Understood(words, field, value))

    def add(self, name: str, *values: object) -> None:
        """Add values to one condition."""
        known: tuple[Any, ...] = getattr(self.conditions, name)
        changed: dict[str, Any] = {name: (*known, *(each for each in values if each not in known))}
        self.conditions = replace(self.conditions, **changed)

    def narrow(self, since: datetime | None, until: datetime | None) -> None:
        """Set both ends of the period."""
        self.conditions = replace(self.conditions, since=since, until=until)

    def restrict_hours(self, hours: Hours) -> None:
        """Set the hours of the day or the week."""
        self.conditions = replace(self.conditions, hours=hours)

    def before(self, start: int) -> str:
        """Return what is unread just before a place."""
        return self.rest[max(0, start - _BACK) : start]

    def _as_typed(self, start: int, end: int) -> str:
        if start >= end:
            return ""
        return self._original[self._origin[start] : self._origin[end - 1] + 1].strip()
