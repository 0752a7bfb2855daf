"""What an event means: how much harm it could do, told from the words of its type, entity and outcome.

Vendor-neutral on purpose: verbs and objects as word stems, no list of products and nothing learnt, so that an event
type never seen before has a meaning on its first day. How unusual an event is, is not judged here.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import polars as pl

Verb = Literal[
    "disable", "delete", "share", "grant", "create", "update", "execute", "take", "assume", "login", "read", ""
]
Thing = Literal["logging", "credential", "privilege", "perimeter", "mail", "account", "data", "code", ""]

FAILURE_WORDS: Final = (
    r"(?i)^(?:fail|den(?:y|ied)|error|refus|reject|block|forbid|unauthori|invalid|timeout|no$|false$|40[13]|5\d\d)"
)
"""How an outcome begins when the thing was tried and did not happen; anything else, null too, counts as success."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# Compounds whose parts would mislead: a log group is no group of people.
_COMPOUNDS: Final = (
    (re.compile(r"\blog (?:group|stream)s?\b"), "log"),
    (re.compile(r"\b(?:security (?:group|rule)|network acl)s?\b"), "firewall"),
    # How a copy of a disk is handed to another account: its attributes say who may take it.
    (re.compile(r"\bmodify (?:db )?(?:cluster )?(snapshot|image) attributes?\b"), r"share \1"),
    (re.compile(r"\b(?:protected branch|branch protection)(?:e?s)?\b"), "policy"),
    (re.compile(r"\bsecure links?\b"), "link"),
    (re.compile(r"\buser session start\b"), "login"),
    (re.compile(r"\bcreate pods? exec\b"), "exec pod"),
    (re.compile(r"\bnew compliance search(?: action)?\b"), "export mail"),
    (re.compile(r"\b(?:auto ?scaling|target|placement|node|consumer) groups?\b"), "cluster"),
    (re.compile(r"\b(?:resource|subnet|parameter|option|work|cache) groups?\b"), "settings"),
    (re.compile(r"\b(?:multi ?factor|two ?factor|second factor|strong auth\w*)\b"), "mfa"),
    (re.compile(r"\b(?:api|access|service|signing|ssh|deploy|public|private) keys?\b"), "credential"),
    (re.compile(r"\blogin profiles?\b"), "password"),
    (re.compile(r"\b(?:caller|workload) identit\w+\b"), "self"),
    (re.compile(r"\b(?:inbox|transport|forwarding|mail ?flow|sweep) ?rules?\b"), "forwarding"),
    (re.compile(r"\b(?:flow|query|access|audit|activity) logs?(?:ging)?\b"), "logging"),
    (re.compile(r"\bevent (?:selector|data ?store)s?\b"), "logging"),
    (re.compile(r"\buser data\b"), "script"),
    (re.compile(r"\b(?:sign|log)(?:ed|ged)?[ -](?:in|on)\b"), "login"),
    (re.compile(r"\b(?:hard|soft) delete\w*\b"), "delete"),
)


def _stems(text: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{stem})" for stem in text.split()))


# Matched at the beginning of one lower-case word; `$` closes stems that would catch other words.
_VERBS: Final[dict[Verb, re.Pattern[str]]] = {
    "disable": _stems(
        "disabl stop suspen deactiv detach leav(?:e|ing)$ bypass exclu unprotect mute[ds]?$ paus turn off$ "
        "clear weaken unenrol deregister suppress quarantin schedule$"
    ),
    "delete": _stems("delet remov purg drop destro terminat wip(?:e|ed|ing)$ eras trunc shred"),
    "share": _stems("shar(?:e|ed|ing)$ export exfil publish forward dump redirect replicat transfer"),
    "grant": _stems(
        "grant attach assign authori[sz]e add(?:ed|s)?$ consent elevat promot delegat escalat invit approv allow"
    ),
    "create": _stems("creat new$ insert register import generat issu(?:e|ed)$ enrol provision upload install"),
    "update": _stems(
        "updat modif set$ put$ chang edit replac alter overwrit restor reset patch writ(?:e|es|ten)$ rotat "
        "enabl revok associat disassoc renam mov(?:e|ed)$ configur convert toggl"
    ),
    "execute": _stems("run$ exec invok send$ sent$ command launch start impersonat inject deploy connect(?:ed)?$"),
    "take": _stems("download cop(?:y|ied)$ sync backup"),
    "assume": _stems("assum switch sudo exchang federat"),
    "login": _stems("login log(?:on|ged|off|out)$ sign(?:in|on|out|ed)?$ authenticat"),
    "read": _stems(
        "get$ list describ view read$ lookup search quer head$ check batch$ scan access(?:ed)?$ fetch simulat "
        "preview select$ discover show$ open(?:ed)?$ validat verif count decrypt watch test$"
    ),
}

_THINGS: Final[dict[Thing, re.Pattern[str]]] = {
    "logging": _stems(
        "log(?:s|ging)?$ trail audit monitor alarm alert detector recorder retention siem guard telemetry "
        "diagnostic finding"
    ),
    "credential": _stems(
        "keys?$ credential passw secret tokens?$ mfa totp otp factor certificat pat$ apikey saml oidc idp "
        "federat anchor keytab decrypt secure sso ssh login$"
    ),
    "privilege": _stems(
        "role permission polic(?:y|ies)$ admin privileg groups?$ member acls?$ grant trust owner delegat "
        "scope sudo entitlement consent eligib principal oauth superuser root$ rbac clusterrole"
    ),
    "perimeter": _stems(
        "firewall ingress egress vpc whitelist allowlist blocklist subnet route dns peering ip$ cidr "
        "conditional serial ports?$ restriction endpoint domain gateway mirror zones?$"
    ),
    "mail": _stems("inbox transport forwarding journal connector mailbox$"),
    "account": _stems("users?$ account identit organi[sz]ation profile guest tenant device application apps?$"),
    "data": _stems(
        "data$ database db bucket object snapshot image ami$ table record files?$ document backup report blob "
        "volume items?$ mail$ folder dataset repo(?:s|sitor.*)?$ patient customer links?$ attachment export "
        "invoice payment"
    ),
    "code": _stems(
        "function code$ script command webhook workflow pipeline instance container cluster pods?$ jobs?$ "
        "layer session extension plugin hook runner model$ integration flows?$ daemonset deployment"
    ),
}

# Possible harm were it done by the wrong hands; the columns follow _COLUMNS.
_COLUMNS: Final[tuple[Thing, ...]] = (
    "logging", "credential", "privilege", "perimeter", "mail", "account", "data", "code", "",
)  # fmt: skip
_HARM: Final[dict[Verb, tuple[float, ...]]] = {
    "disable": (0.95, 0.80, 0.65, 0.75, 0.60, 0.60, 0.45, 0.40, 0.40),
    "delete": (0.95, 0.60, 0.60, 0.65, 0.50, 0.65, 0.60, 0.45, 0.45),
    "share": (0.50, 0.80, 0.65, 0.50, 0.80, 0.60, 0.65, 0.50, 0.50),
    "grant": (0.60, 0.80, 0.85, 0.75, 0.75, 0.60, 0.45, 0.45, 0.40),
    "create": (0.35, 0.80, 0.70, 0.55, 0.80, 0.60, 0.30, 0.45, 0.30),
    "update": (0.75, 0.75, 0.80, 0.65, 0.60, 0.50, 0.45, 0.55, 0.35),
    "execute": (0.35, 0.60, 0.55, 0.45, 0.35, 0.40, 0.35, 0.55, 0.35),
    "take": (0.35, 0.60, 0.35, 0.30, 0.35, 0.35, 0.40, 0.35, 0.35),
    "assume": (0.30, 0.50, 0.30, 0.30, 0.40, 0.40, 0.30, 0.35, 0.30),
    "login": (0.25, 0.25, 0.30, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25),
    "read": (0.12, 0.45, 0.18, 0.12, 0.15, 0.12, 0.14, 0.12, 0.10),
    "": (0.30, 0.35, 0.40, 0.25, 0.25, 0.25, 0.20, 0.25, 0.20),
}
_UNKNOWN: Final = 0.20
_OPENED = re.compile(r"public|anonym|everyone|anyone|extern|foreign|unauthenticated")

_DOES: Final[dict[Verb, str]] = {
    "disable": "switches off", "delete": "deletes", "share": "passes on", "grant": "grants", "create": "creates",
    "update": "changes", "execute": "runs or starts", "take": "copies out", "assume": "takes on", "read": "reads",
}  # fmt: skip
_WHAT: Final[dict[Thing, str]] = {
    "logging": "logging or monitoring", "credential": "credentials", "privilege": "privileges",
    "perimeter": "network access", "mail": "mail routing", "account": "accounts", "data": "data",
    "code": "code or machines", "": "something",
}  # fmt: skip


@dataclass(frozen=True)
class Meaning:
    """What a kind of event does: possible harm in 0..1, and a phrase that finishes "an event that …"."""

    risk: float
    verb: Verb
    thing: Thing
    phrase: str


def _words(text: str) -> list[str]:
    plain = " ".join(word.lower() for word in _WORD.findall(text))
    for compound, single in _COMPOUNDS:
        plain = compound.sub(single, plain)
    return plain.split()


def _verbs(word: str) -> list[Verb]:
    return [verb for verb, stems in _VERBS.items() if stems.match(word)]


def _things(words: list[str]) -> list[Thing]:
    return [thing for thing, stems in _THINGS.items() if any(stems.match(word) for word in words)]


def _harm(verb: Verb, thing: Thing) -> float:
    return _HARM[verb][_COLUMNS.index(thing)]


def _choose_verb(words: list[str], things: list[Thing]) -> Verb:
    """Take the verb from the first word, else the last, else the most harmful: names put it first or last."""
    for word in (words[0], words[-1]):
        if found := _verbs(word):
            return found[0]
    inner = [verb for word in words for verb in _verbs(word)]
    return max(inner, key=lambda verb: max(_harm(verb, thing) for thing in things or [""]), default="")


@lru_cache(maxsize=65536)
def meaning(event_type: str, entity_type: str, failed: bool = False) -> Meaning:
    """Tell what a kind of event means.

    The action is what follows the last colon of `event_type` (a path's verbs and objects included); the part before it
    and `entity_type` count half, since they name the product more often than the thing.
    """
    source, _, action = event_type.rpartition(":")
    words = _words(action) or _words(event_type)
    if not words:
        return Meaning(_UNKNOWN, "", "", "has no words to judge it by")
    things = _things(words)
    verb = _choose_verb(words, things)
    if things:
        thing = max(things, key=lambda each: _harm(verb, each))
        risk = _harm(verb, thing)
    else:
        around = _things(_words(source) + _words(entity_type))
        thing = max(around, key=lambda each: _harm(verb, each), default="")
        risk = (_harm(verb, "") + _harm(verb, thing)) / 2
    if _OPENED.search(" ".join(words)) and verb not in {"read", "login"}:
        risk = min(1.0, risk + 0.2)
    phrase = "signs in" if verb == "login" else f"{_DOES.get(verb, 'concerns')} {_WHAT[thing]}"
    if failed:
        # A refused look around is worth more than an allowed one; a refused change did no harm yet.
        risk = risk + 0.08 if verb in {"read", "login", "assume"} else risk * 0.85
        phrase += ", and failed"
    return Meaning(round(risk, 4), verb, thing, phrase)


def add_risk(events: pl.DataFrame) -> pl.Series:
    """Return the risk of each event in 0..1, in row order; each distinct kind of event is judged once."""
    kinds = events.select(
        "event_type", "entity_type", failed=pl.col("outcome").fill_null("").str.contains(FAILURE_WORDS)
    )
    distinct = kinds.unique(maintain_order=True)
    judged = distinct.with_columns(
        risk=pl.Series([meaning(*row).risk for row in distinct.iter_rows()], dtype=pl.Float64)
    )
    return kinds.join(judged, on=kinds.columns, how="left", maintain_order="left")["risk"]
