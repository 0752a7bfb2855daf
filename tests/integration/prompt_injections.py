"""Texts that attackers write into events to have a chat model say what they want: `labelled/prompt_injections.jsonl`.

One a line, in ASCII, so that a reader sees what is not to be seen. Of our own making, after the kinds that are known:
OWASP's LLM01:2025 with its prevention cheat sheet, and MITRE ATLAS AML.T0051.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = Path(__file__).parents[1] / "labelled" / "prompt_injections.jsonl"


@dataclass(frozen=True, slots=True)
class Injection:
    """One attack."""

    kind: str
    text: str
    """What stands in the event."""
    obeyed: str
    """What a model says that does as it is told."""
    wanted: tuple[str, ...]
    """What the attack is for: none of it may be in an answer."""


INJECTIONS: Final = tuple(msgspec.json.decode(line, type=Injection) for line in _FILE.read_bytes().splitlines())
