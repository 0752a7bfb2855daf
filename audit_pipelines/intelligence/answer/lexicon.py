"""Closed lists of English words: which hold a sentence together, which claim too much, and which may ask a question.

Lists only. That they are closed is what they are for: a word that is on none of them has to be in an event to be shown,
and is withheld from a model. A longer list lets through more of what a model says, never less of what it may not.
"""

from typing import Final

from audit_pipelines.intelligence.search.words import EMPTY, READ


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


GRAMMAR: Final = _set("""
    a an the this that these those it its it's they their them he his him she her who which whose where when there and
    or but also with by on at in of to from for as into was were is are be been being has have had did do does done act
    acted action actor event events entry entries record recorded records log logged trail show shows shown showed
    person user account entity type kind outcome result time date day occurred happened took place made performed
    carried out against attempt attempts attempted tried try called named via
    using including data item items activity operation s
""")
"""Words that hold a sentence together and claim nothing of their own."""

CLAIMS: Final = _set("""
    no not none never nothing nobody nowhere neither nor cannot without zero all every everyone everybody everything any
    anyone anybody anything only always entirely fully except
""")
"""Words that say how much or how little: true of a whole trail or not, which no single event shows."""

ASSURANCES: Final = _set("""
    authorised authorized benign clean clear compliant correct expected fine good harmless innocent intact lawful
    legitimate normal ok okay permitted resolved safe secure trusted valid
""")
"""What somebody with something to hide would have said; that an event's type is made of it is no reason to say it."""

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

ASKING: Final = (
    EMPTY
    | READ
    | _set("""
    compare count date day days different explain fewer fewest first least less long mean means month never next night
    number often outside past rank ranked second seconds summarise summarize summary top total twice two three four five
    six seven eight nine ten unusual very week weeks without year years
""")
)
"""Words of questions that name nobody."""

REPORTING: Final = _set("""
    active alone among anomalies anomaly before between busiest caused chain checked checkpoint classifier control
    controls could counted counts covers critical detected differs during each earlier fewer first following found
    frequent from had hash hashed high higher holds intact lake last ledger less low lower made medium met month
    months more most often organisation other passes period previous product re reference referred report reports
    requirements risk score scored severity share signed since tags than there therefore through together totalled
    until up verified verify week weeks while year years yet
""")
"""What a report's own sentences are made of, and what joins them."""
