"""What a reader asks for: query parameters, parsed with every fault named, and the cursor between pages.

Pure: nothing here knows the database, and nothing here resolves a name.
"""

import base64
import ipaddress
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from starlette.datastructures import QueryParams

from audit_pipelines.errors import ValidationError
from audit_pipelines.ledger.access import ENTITY_TYPE
from audit_pipelines.ledger.event import Moment
from audit_pipelines.ledger.sealing import NETWORK_BITS
from audit_pipelines.server.decoding import escape_pointer
from audit_pipelines.server.problems import Fault

MAX_LIMIT: Final = 1_000
EVENT_PARAMETERS: Final = (
    "event_type", "entity_type", "entity_id", "actor", "actor_ref", "outcome", "ip_address", "from", "to", "q",
    "include", "limit", "order", "cursor",
)  # fmt: skip
ANOMALY_PARAMETERS: Final = (
    "actor", "actor_ref", "severity", "verdict", "incident", "min_score", "suppressed", "from", "to", "limit", "order",
    "cursor",
)  # fmt: skip
INCIDENT_PARAMETERS: Final = (
    "actor", "actor_ref", "severity", "state", "min_score", "from", "to", "limit", "order", "cursor",
)  # fmt: skip
ACCESS_PARAMETERS: Final = ("actor", "actor_ref", "action", "from", "to", "limit", "order", "cursor")
_OWN_PREFIX: Final = "audit."
_LONGEST: Final = 1_024
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CURSOR: Final = re.compile(r"(desc|asc):(\d{1,18})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """One question to the timeline; None is "any". Names and addresses are in clear: never log this object."""

    event_type: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    actor: str | None = None
    actor_ref: UUID | None = None
    outcome: str | None = None
    ip_address: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None
    action: str | None = None
    severity: str | None = None
    verdict: str | None = None
    incident: UUID | None = None
    min_score: float | None = None
    suppressed: bool | None = None
    state: str | None = None
    include: frozenset[str] = frozenset()
    limit: int = 50
    order: Literal["desc", "asc"] = "desc"
    cursor: int | None = None

    @property
    def with_accesses(self) -> bool:
        """Whether events that say who read what are wanted among the others: asked for, or named by their types."""
        return (
            "access" in self.include
            or (self.event_type or "").startswith(_OWN_PREFIX)
            or self.entity_type == ENTITY_TYPE
        )


def parse_filters(query: QueryParams, names: Collection[str] = EVENT_PARAMETERS) -> Filters:
    """Return the filters in a query string that may hold the parameters `names`.

    Raises:
        ValidationError: every fault as `(/parameter, what)`: unknown, repeated, malformed.
    """
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    seen: set[str] = set()
    for name, text in query.multi_items():
        pointer = f"/{escape_pointer(name)}"
        if name not in names:
            faults.append((pointer, f"unknown parameter; expected some of {', '.join(names)}"))
        elif name in seen:
            faults.append((pointer, "expected once, got it again"))
        else:
            attribute, parse = _PARAMETERS[name]
            try:
                values[attribute] = parse(text)
            except ValueError as error:
                faults.append((pointer, str(error)))
        seen.add(name)
    if "cursor" in values:
        order, values["cursor"] = values["cursor"]
        if values.setdefault("order", order) != order:
            faults.append(("/cursor", f"belongs to a question with order={order}"))
    if faults:
        raise ValidationError("The query parameters have faults.", tuple(faults))
    return Filters(**values)


def encode_cursor(order: str, seq: int) -> str:
    """Return the opaque text from which the next page goes on."""
    return base64.urlsafe_b64encode(f"{order}:{seq}".encode()).rstrip(b"=").decode()


def _cursor(text: str) -> tuple[str, int]:
    try:
        match = _CURSOR.fullmatch(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    except ValueError:
        match = None
    if match is None:
        raise ValueError("expected the next_cursor of an earlier answer")
    return match[1], int(match[2])


def _text(text: str) -> str:
    if not 0 < len(text) <= _LONGEST or _CONTROL.search(text):
        raise ValueError(f"expected 1 to {_LONGEST:,} characters without control characters")
    return text


def _words(text: str) -> str:
    if not any(character.isalnum() for character in _text(text)):
        raise ValueError("expected at least one word")
    return text


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("expected a UUID") from None


def _address(text: str) -> str:
    """Return an address, or a network as far as its blind index goes, in canonical form."""
    try:
        if "/" not in text:
            return str(ipaddress.ip_address(text.strip()))
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError("expected an IPv4 or IPv6 address, or a network such as 192.0.2.0/24") from None
    if network.prefixlen != NETWORK_BITS[network.version]:
        raise ValueError(
            f"expected an IPv4 network of /24 or an IPv6 network of /48, got /{network.prefixlen}: addresses are kept "
            "as keyed hashes of themselves and of these networks, which say nothing about others"
        )
    return str(network)


def parse_address(text: str, pointer: str) -> str:
    """Return an address or network of a request's body in canonical form, as the filter `ip_address` takes it.

    Raises:
        ValidationError: naming the fault by `pointer`.
    """
    try:
        return _address(text)
    except ValueError as error:
        raise ValidationError("The request's body has a fault.", ((pointer, str(error)),)) from None


def _moment(text: str) -> datetime:
    try:
        moment = msgspec.convert(text, Moment)
        # Postgres reads it in UTC; the ends of the calendar have no UTC.
        moment.utctimetuple()
    except (msgspec.ValidationError, OverflowError):
        raise ValueError(
            "expected RFC 3339 with a zone, as 2026-11-23T07:41:00Z (in a query string `+` is written %2B)"
        ) from None
    return moment


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(f"expected a number from 1 to {MAX_LIMIT:,}")
    return int(text)


def _order(text: str) -> str:
    if text not in {"asc", "desc"}:
        raise ValueError("expected asc or desc")
    return text


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def _score(text: str) -> float:
    if not re.fullmatch(r"0|1|[01]?\.[0-9]{1,9}", text) or float(text) > 1:
        raise ValueError("expected a score from 0 to 1, as 0.85")
    return float(text)


def _yes(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


def _include(text: str) -> frozenset[str]:
    if text != "access":
        raise ValueError("expected access: the events that say who read what")
    return frozenset({text})


_PARAMETERS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "event_type": ("event_type", _text),
    "entity_type": ("entity_type", _text),
    "entity_id": ("entity_id", _text),
    "actor": ("actor", _text),
    "actor_ref": ("actor_ref", _uuid),
    "outcome": ("outcome", _text),
    "ip_address": ("ip_address", _address),
    "from": ("since", _moment),
    "to": ("until", _moment),
    "q": ("q", _words),
    "action": ("action", _text),
    "severity": ("severity", _one_of("low", "medium", "high", "critical")),
    "verdict": ("verdict", _one_of("true_positive", "false_positive", "benign", "none")),
    "incident": ("incident", _uuid),
    "min_score": ("min_score", _score),
    "suppressed": ("suppressed", _yes),
    "state": ("state", _one_of("open", "merged", "withdrawn")),
    "include": ("include", _include),
    "limit": ("limit", _limit),
    "order": ("order", _order),
    "cursor": ("cursor", _cursor),
}
