"""The canonical text of an event: what is embedded, classified and searched by meaning.

Here: how an event becomes a short English phrase without ids, addresses, names or numbers. Not here: vectors
(`embed`), labels (`classifiers`). It exists because 1,000,000 events are 737,000 distinct sentences but about 1,000
canonical texts: only those need a vector, and only those may leave the vault's protection.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from audit_pipelines.errors import ValidationError

COLUMNS: Final = ("event_type", "entity_type", "outcome", "details")
NO_OUTCOME: Final = "outcome unknown"

Outcome = Literal["success", "failure", "denied"]

_MAX_LABEL_WORDS: Final = 12
_MAX_PHRASES: Final = 6
_MAX_WORD: Final = 24
# A CloudTrail event has some 40 keys: the pairs of a slice take about 150 MB, those of a million events 2 GB.
_SLICE: Final = 1 << 16

# A key of a JSON object and, where its form allows, its value: true, false, a string of letters, "any address", or an
# AWS-managed policy. A string with a digit, an @ or an escape is never looked at, so ids, addresses, dates, hashes,
# sealed parts and other people's JSON inside strings end here; names of people end at the vocabulary.
_PAIR: Final = (
    r'"[A-Za-z][A-Za-z0-9_.\-]{0,47}":\s?'
    r'(?:true\b|false\b|\[?"(?:[A-Za-z][A-Za-z _./:\-]{0,47}'
    r'|0\.0\.0\.0/0|::/0|\*|arn:aws:iam::aws:policy/[A-Za-z0-9/]{1,64})")?'
)
_MANAGED_POLICY: Final = "arn:aws:iam::aws:policy/"
_ANYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})

_TEMPLATED_OUT: Final = re.compile(
    r"\S*@\S*"  # e-mail addresses, ARNs of sessions
    r"|\b\w+://\S*"
    r"|\barn:\S*"
    r"|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|\b(?:[0-9a-fA-F]{0,4}:){3,}[0-9a-fA-F]{0,4}\b"
)
_SOURCE: Final = re.compile(r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+:")
_CASE_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPLIT: Final = re.compile(r"[\W_]+")
# ec2, s3, k8s, oauth2, route53resolver; not 20150331, a1b2c3, 0f9d2c.
_WORD: Final = re.compile(r"[^\W\d_]{2,}(?:\d{1,2}(?:[^\W\d_]{4,})?)?|[^\W\d_]\d{1,2}[^\W\d_]?")
# CloudTrail ends names with the version of the interface: UpdateFunctionCode20150331v2.
_VERSION: Final = re.compile(r"\d{8}(?:v\d+)?$")

_OUTCOMES: Final[dict[str, Outcome]] = {
    **dict.fromkeys(
        ("success", "succeeded", "successful", "ok", "allow", "allowed", "granted", "completed"), "success"
    ),
    **dict.fromkeys(("failure", "failed", "fail", "error", "errored", "unsuccessful", "timeout"), "failure"),
    **dict.fromkeys(("denied", "deny", "forbidden", "unauthorized", "unauthorised", "blocked", "rejected"), "denied"),
}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# The words that may pass from details into a text. Personal data cannot be recognised by its form (`Rose` is a name and
# a colour), but a closed list of words of the trade lets none through. No name of a person or place may be added.
VOCABULARY: Final = _set("""
    a access account accounts acl action active add added address adjustment admin administration administrative
    administrator administrators agreement alarm alarms alert alerts all allow allowed amount and anonymous any api app
    application applications approval approved archive assumed attach attribute audit audited authenticated
    authentication authenticator authorization authorized authorised automation
    backup batch billing biometric block blocked body bot bucket buckets bulk bypass
    cancelled card case certificate challenge change changed claim clear clinical closed cloudtrail cluster code command
    compute config configuration connection console container containers contract create created credential
    credentials creation critical cross csv customer customers
    dashboard data database deactivated debug default delete deleted deletion denied deny department deployment
    description detach developer device diagnosis directory disable disabled dns document documents domain download
    drive
    editor email emails employee enable enabled encrypt encrypted encryption end enterprise error everyone everything
    exec execution exceeded expired export exported external
    factor fail failed failure false federated federation file files filter finance firewall flow forbidden format
    forwarding full function
    global grant granted group groups guest
    header health hidden high history host human
    iam ids image import imported in incorrect information inline insufficient integration interactive internal
    internet invalid invite invited invoice isolated
    job json
    key keys kms
    laboratory lambda ldap ledger legacy level limit link list locked lockout log logged logging login logins logout
    logs long low
    machine mail maintenance malicious malware managed management manager manual mass master medication medium member
    members memory merge message mfa missing mobile mode model modified modify monitoring multi
    namespace network new nobody node none not notification
    oauth object objects of off office old on only open operation operator order organisation organization otp out
    outside override owner owners
    parquet partner password passwords patient patients payment payroll pdf pending permanent permission permissions
    personal phone pipeline pod pods policies policy port power prescription primary privilege privileged privileges
    process production profile progress project prompt protected protection provider proxy public publicly pull purge
    push
    query queue
    rate read reader readable receipt record records recovery refund region regular rejected released remote removed
    replication report reports repository request required reset resource resources response restore restricted result
    results review revoke revoked risk role roles root rotated rotation router row rows rule rules run
    salary saml sample scan scope scopes script secret secrets secure security self sensitive serial server service
    services session sessions severity share shared sharing shell signature signed single snapshot snapshots sql ssh ssl
    sso staff standard start started state status stop stopped storage subnet subscription success successful support
    suspended suspicious system
    table temporary tenant test threat ticket timeout tls token tokens topic totp traffic trail transfer transferred
    trigger trust trusted two type
    unauthorised unauthorized unencrypted unknown unlocked unprotected unrestricted untrusted unusual update updated
    upload url usage user username users
    value verification verified version versioning viewer visibility visible volume vpc vpn
    warning web webhook weak with without workflow workspace write writer wrong
    xlsx
    year
""")

FILLER: Final = _set("""
    a address allowed and arn attribute authenticated body code data default description enabled header id ids in
    information is level mode name new no none not of off old on only operation result results standard state status
    success successful the type used value version with
""")
"""Words that say nothing alone: left out of key names, and no reason to keep a value."""

NOISE_KEYS: Final = _set("""
    action actiontype apiversion awsregion category country device devicetype eventcategory eventname eventsource
    eventtype kind loglevel logtype managementevent objecttype operationname os platform providername readonly
    recipienttype region requestmethod resourcetype schema severity source sourcetype targettype type useragent verb
""")
"""Keys, joined in lower case, that repeat the event type or describe the sender's machine."""

NAMING: Final = _set("""
    arn id identifier ids label name names path subject title uri url
""")
"""Last words of keys whose values are names that somebody chose: never rendered, even when they are plain words."""

NEGATION_MATTERS: Final = _set("""
    encrypted encryption logging mfa monitoring protected protection restricted signed verified
    versioning
""")
"""Keys whose `false` is worth a word: `mfaAuthenticated: false` becomes `without mfa`."""

SALIENT_KEYS: Final = _set("""
    amount credential credentials diagnosis export exported invoice mass medication password passwords patient patients
    payment payroll prescription records refund rows salary secret secrets
""")
"""Keys that are worth a word whatever they hold (a number, an id, a sealed part)."""

STRIKING: Final = _set("""
    admin administrator administrators any anonymous bulk bypass denied disabled everyone everything exported external
    failed forbidden full guest insufficient invalid malicious malware mass mfa owner password privileged public
    publicly root secret suspicious unauthorised unauthorized unencrypted unrestricted untrusted unusual without wrong
""")
"""Words that put a phrase before others when there are more than fit."""

LOG_NAMES: Final = _set("""
    activity audit cloudtrail detections detection event events log logs monitor realtime summary system
""")
"""Words in the name of a log (`GCP.AuditLog:`) that say where an event was written, not what happened."""

WHOLE_NAMES: Final = {
    "CloudTrail": "Cloudtrail",
    "CloudWatch": "Cloudwatch",
    "CloudFormation": "Cloudformation",
    "DynamoDB": "Dynamodb",
    "GitHub": "Github",
    "GitLab": "Gitlab",
    "GSuite": "Gsuite",
    "GuardDuty": "Guardduty",
    "OAuth": "Oauth",
    "OneLogin": "Onelogin",
    "PostgreSQL": "Postgresql",
    "MySQL": "Mysql",
    "SharePoint": "Sharepoint",
    "VPCs": "Vpcs",
    "IPs": "Ips",
    "ACLs": "Acls",
    "APIs": "Apis",
}
"""Names that capitals inside would otherwise tear apart."""


@dataclass(frozen=True)
class TextParts:
    """What a canonical text says, taken apart again; every part is words in lower case, or empty."""

    event: str
    entity: str
    outcome: str
    details: str


def render_texts(events: pl.DataFrame) -> pl.Series:
    """Return the canonical text of each event, as a String series named `text` in the order of `events`.

    Form: `<event type>; <entity type>; <outcome>[; <detail>, <detail>…]`, for example
    `iam attach user policy; user; success; policy administrator access`. The text depends on that event alone, so an
    incremental run and a rebuild give the same texts. Details contribute only words of a closed vocabulary: whatever
    was not sealed (a name, a secret, free text) cannot get through. Event and entity types are labels chosen by the
    application: their words are kept, with e-mail addresses, URLs, ARNs, ids, numbers and IP addresses removed.

    Needs the columns `event_type, entity_type, outcome, details` (JSON text or null); raises `ValidationError` without.
    """
    missing = [column for column in COLUMNS if column not in events.columns]
    if missing:
        raise ValidationError(f"expected an events frame with {', '.join(COLUMNS)}; missing: {', '.join(missing)}")
    phrases: dict[str, str | None] = {}
    parts = [_render_slice(piece, phrases) for piece in events.select(COLUMNS).iter_slices(_SLICE)]
    return pl.concat(parts) if parts else pl.Series("text", [], dtype=pl.String)


def parse_text(text: str) -> TextParts:
    """Take a canonical text apart; a text of another form becomes an event without entity, outcome and details."""
    event, entity, outcome, details = (*text.split("; ", 3), "", "", "")[:4]
    return TextParts(event, entity, "" if outcome == NO_OUTCOME else outcome, details)


def text_hash(text: str) -> bytes:
    """Return the SHA-256 (32 bytes) of a text in UTF-8: the key under which its vector is stored."""
    return hashlib.sha256(text.encode()).digest()


def label_words(label: str) -> str:
    """Turn an event or entity type into words: `iam:PutUserPolicy` becomes `iam put user policy`.

    Of a type that names the log it was read from (`AWS.CloudTrail:DeleteRole`) the product stays and the log's name
    goes: left in, every such event reads as one about audit logs, to the search and to the rules alike.
    Returns at most 12 words, and an empty string for a label that holds only what is templated out.
    """
    source = _SOURCE.match(label)
    product = [word for word in _words(source[0]) if word not in LOG_NAMES] if source else []
    if source and product:
        label = f"{' '.join(product)} {label[source.end() :]}"
    words = _words(_TEMPLATED_OUT.sub(" ", label))
    return " ".join(words[:_MAX_LABEL_WORDS])


def _render_slice(events: pl.DataFrame, phrases: dict[str, str | None]) -> pl.Series:
    def lookup(column: str, render: dict[str, str]) -> pl.Expr:
        return (
            pl.col(column).cast(pl.String).replace_strict(list(render), list(render.values()), return_dtype=pl.String)
        )

    types = {label: label_words(label) or "event" for label in _distinct(events["event_type"])}
    entities = {label: label_words(label) or "entity" for label in _distinct(events["entity_type"])}
    outcomes = {label: _outcome_words(label) for label in _distinct(events["outcome"])}
    details = _details(events["details"].cast(pl.String), phrases)
    texts = events.select(
        pl.concat_str(
            lookup("event_type", types).fill_null("event"),
            lookup("entity_type", entities).fill_null("entity"),
            lookup("outcome", outcomes).fill_null(NO_OUTCOME),
            pl.when(details != "").then(details),
            separator="; ",
            ignore_nulls=True,
        ).alias("text")
    ).to_series()
    distinct = texts.unique().to_list()
    return texts.replace_strict(distinct, [_said_once(text) for text in distinct], return_dtype=pl.String)


def _said_once(text: str) -> str:
    """Leave out details that repeat one another, or event, entity and outcome: `user login; user; failure; failure`."""
    head = text.split("; ", 3)[:3]
    phrases = dict.fromkeys(parse_text(text).details.split(", "))
    said = {*" ".join(head).split(), *(word for word, outcome in _OUTCOMES.items() if outcome == head[2])}
    news = [phrase for phrase in phrases if not said.issuperset(phrase.split())]
    return "; ".join([*head, ", ".join(news)] if news else head)


def _details(details: pl.Series, phrases: dict[str, str | None]) -> pl.Series:
    """Return the detail phrases of each row, the most striking first, joined by commas.

    Python sees each distinct `"key":value` once (`phrases` remembers them across slices); the rest is vectorised.
    """
    pairs = details.str.extract_all(_PAIR)
    for pair in pairs.list.explode().unique().drop_nulls().to_list():
        if pair not in phrases:
            phrases[pair] = _phrase(pair)
    kept = {pair: phrase for pair, phrase in phrases.items() if phrase is not None}
    row, phrase = pl.col("row"), pl.col("phrase")
    # Sorted flat: `list.sort` costs 16 µs a list, twenty times all the rest together. The first character of a phrase
    # is its rank, so that the cut keeps what strikes.
    said = (
        pl.DataFrame({"row": pl.int_range(details.len(), dtype=pl.UInt32, eager=True), "phrase": pairs})
        .explode("phrase")
        .select(row, phrase.replace_strict(list(kept), list(kept.values()), default=None, return_dtype=pl.String))
        .drop_nulls()
        .unique()
        .sort("row", "phrase")
        .group_by("row", maintain_order=True)
        .agg(phrase.head(_MAX_PHRASES).str.slice(1).str.join(", "))
    )
    rows = pl.DataFrame({"row": pl.int_range(details.len(), dtype=pl.UInt32, eager=True)})
    return rows.join(said, on="row", how="left", maintain_order="left")["phrase"].fill_null("").alias("details")


def _phrase(pair: str) -> str | None:
    """Return rank and phrase of one `"key":value`, or None where nothing of it may or need be said."""
    key, _, value = pair[1:].partition('":')
    name, value = _words(key), value.strip().lstrip("[").strip('"')
    if "".join(name) in NOISE_KEYS:
        return None
    known = [word for word in name if word in VOCABULARY and word not in FILLER]
    if not value:
        salient = [word for word in known if word in SALIENT_KEYS]
        return _ranked(salient, key_only=True) if salient else None
    if value.lower() in ("true", "yes"):
        # What should be so and is so (encrypted, MFA used) is no news, and doubles the number of texts.
        return _ranked(known) if known and not NEGATION_MATTERS.intersection(known) else None
    if value.lower() in ("false", "no"):
        return _ranked(["without", *known]) if NEGATION_MATTERS.intersection(known) else None
    said = _value_words(value)
    if not said or (name and name[-1] in NAMING and not value.startswith(_MANAGED_POLICY)):
        return None
    return _ranked([*(word for word in known if word not in said), *said])


def _value_words(value: str) -> list[str]:
    """Return the words of a value, or nothing unless every one of them is in the vocabulary."""
    if value in _ANYWHERE:
        return ["any", "address"]
    if value == "*":
        return ["everything"]
    words = _words(value.removeprefix(_MANAGED_POLICY))
    if any(word not in VOCABULARY for word in words) or all(word in FILLER for word in words):
        return []
    return list(dict.fromkeys(words))


def _ranked(words: list[str], *, key_only: bool = False) -> str:
    rank = 2 if key_only else 0 if STRIKING.intersection(words) else 1
    return f"{rank}{' '.join(words)}"


def _outcome_words(outcome: str) -> str:
    words = _words(outcome)
    if any(word in ("not", "un", "no") for word in words):
        return "failure"
    return next((_OUTCOMES[word] for word in words if word in _OUTCOMES), NO_OUTCOME)


def _words(text: str) -> list[str]:
    for name, whole in WHOLE_NAMES.items():
        text = text.replace(name, whole)
    pieces = _SPLIT.split(_CASE_BREAK.sub(" ", text))
    trimmed = (_VERSION.sub("", piece) for piece in pieces)
    words = [word.lower() for word in trimmed if len(word) <= _MAX_WORD and _WORD.fullmatch(word)]
    return [word for word, before in zip(words, ["", *words], strict=False) if word != before]


def _distinct(labels: pl.Series) -> list[str]:
    return labels.cast(pl.String).unique().drop_nulls().to_list()
