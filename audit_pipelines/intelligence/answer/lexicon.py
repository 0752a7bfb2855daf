"""Closed lists of English words: which hold a sentence together, which claim too much, and which may ask a question.

Lists only. That they are closed is what they are for: a word that is on none of them has to be in an event to be shown,
and is withheld from a model. A longer list lets through more of what a model says, never less of what it may not.
"""

from typing import Final


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


GRAMMAR: Final = _set("""
    a an the this that these those it its it's they their them he his him she her who which whose where when and or also
    with by on at in of to from for as into was were is are be been being has have had did do does done act acted action
    actor event events entry entries record recorded records log logged trail show shows shown showed person user
    account entity type kind outcome result time date day utc occurred happened took place made performed carried out
    against attempt attempts attempted tried try called named s
""")
"""Words that hold a sentence together and claim nothing of their own."""

CLAIMS: Final = _set("""
    no not none never nothing nobody nowhere neither nor cannot without zero all every everyone everybody everything any
    anyone anybody anything only always entirely fully except but
""")
"""Words that say how much or how little: true of a whole trail or not, which no single event shows."""

FAILED: Final = _set("fail failed fails failing failure failures unsuccessful unsuccessfully error")
DENIED: Final = _set("deny denied denies denial refused rejected blocked forbidden")
SUCCEEDED: Final = _set("success successful successfully succeed succeeded succeeds")

_NAMES: Final = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBERS: Final = {name: value for value, name in enumerate(_NAMES.split(), start=1)} | {
    "once": 1, "single": 1, "twice": 2, "both": 2, "dozen": 12,
}  # fmt: skip
"""Numbers in words, which are figures as much as digits are."""

ASKING: Final = _set("""
    a about after again against all an and any anybody anyone anything are as ask at be been before between both but by
    can compare compared count date day days did different do does doing done during each earlier ever every everybody
    everyone everything except explain fewer fewest find first for from give had happen happened happening has have hour
    hours how i in into is it its kind kinds last later latest least less like list long many me mean means minute
    minutes month months more morning most much my never next night nobody not number of off often on once one ones only
    or other our out outside over own past people per person please previous quarter rank ranked recent recently same
    second seconds show shown since so some somebody someone something summarise summarize summary tell than that the
    their them then there these they this those time times to today together top total twice two under unusual until us
    very was we week weekend weeks were what when where whether which while who whom whose why with within without would
    year years yesterday you three four five six seven eight nine ten
""")
"""Words of questions that name nobody."""
