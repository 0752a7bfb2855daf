"""By how much what analysts say moves the score from which a tenant is alerted. Pure.

Built to be hard to abuse: every person has one voice however often they speak, it takes two of them, of two the one who
sees fewer false alarms decides, a verdict moves the threshold at most once, and a step is small and bounded. What is
written down as an anomaly never depends on it: it decides alerts alone, and a critical incident alerts whatever it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Verdict = Literal["true_positive", "false_positive", "benign"]

STEP: Final = 0.01
MOST_ABOVE: Final = 0.15
"""How far above AUDIT_ANOMALY_THRESHOLD it may get: from 0.7 to 0.85, about a twentieth of the alerts."""
HIGHEST: Final = 0.97
QUORUM: Final = 2
"""Persons who must have said enough."""
ENOUGH: Final = 5
"""Verdicts of a person from which they have a voice."""
NEAR: Final = 0.1
"""Only alarms up to so far above the threshold tell whether it is too low."""
RAISE_FROM: Final = 0.75
LOWER_FROM: Final = 0.40


@dataclass(frozen=True, slots=True)
class Said:
    """One person's newest verdict on one event."""

    analyst: str
    verdict: Verdict
    score: float


@dataclass(frozen=True, slots=True)
class Move:
    """A change of the threshold, and why."""

    threshold: float
    explanation: str
    figures: dict[str, Any]


def move(threshold: float, base: float, said: Sequence[Said]) -> Move | None:
    """Return how verdicts given since the last change move the threshold, None for not at all.

    `base` is AUDIT_ANOMALY_THRESHOLD, below which there are no anomalies to alert of. `benign` verdicts count neither
    way: such an event was as odd as it was said to be.
    """
    votes: dict[str, list[Verdict]] = {}
    for one in said:
        if one.verdict != "benign" and one.score <= threshold + NEAR:
            votes.setdefault(one.analyst, []).append(one.verdict)
    # With one imagined verdict either way, so that five of a kind are no certainty.
    shares = sorted((own.count("false_positive") + 1) / (len(own) + 2) for own in votes.values() if len(own) >= ENOUGH)
    if len(shares) < QUORUM:
        return None
    # The lower of the two in the middle: whoever sees fewer false alarms decides between two.
    opinion = shares[(len(shares) - 1) // 2]
    highest = max(base, min(base + MOST_ABOVE, HIGHEST))
    if opinion >= RAISE_FROM:
        wanted = min(threshold + STEP, highest)
    elif opinion <= LOWER_FROM:
        wanted = max(threshold - STEP, base)
    else:
        return None
    # The base may have been set to another value meanwhile.
    wanted = round(min(max(wanted, base), highest), 4)
    if wanted == round(threshold, 4):
        return None
    false = sum(own.count("false_positive") for own in votes.values())
    judged = sum(len(own) for own in votes.values())
    direction = "raised" if wanted > threshold else "lowered"
    explanation = (
        f"{direction} from {threshold:.2f} to {wanted:.2f}: {false:,} of {judged:,} judged alarms up to "
        f"{threshold + NEAR:.2f} were false; of {len(shares)} persons with {ENOUGH} verdicts or more, the one in the "
        f"middle sees {opinion:.0%} false"
    )
    return Move(
        wanted,
        explanation,
        {"false": false, "judged": judged, "persons": len(shares), "opinion": round(opinion, 4), "base": base},
    )
