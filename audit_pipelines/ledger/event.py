"""An event as an application or importer hands it over, before the vault has seen it.

This is the only place with an event's content in clear outside the vault. It knows the field limits; it knows neither
the database nor the hash chain, and it is never stored as it is.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

MAX_DETAILS_BYTES = 1_000_000

ACCESS_PREFIX: Final = "audit.access."
# What the product says of itself: who read what, logged in, signed, judged, erased, held, archived. Nobody else may say
# so, and whoever decodes an event refuses these types.
OWN_TYPES: Final = (
    ACCESS_PREFIX,
    "audit.account.",
    "audit.anomaly.",
    "audit.archive.",
    "audit.export.",
    "audit.hold.",
    "audit.integration.",
    "audit.scheduled_report.",
    "audit.signature.",
    "audit.subject.",
    "audit.suppression.",
    "audit.threshold.",
)

# NUL cannot be stored in a Postgres text column; the other C0/C1 controls and the line separators forge log lines. No
# pattern of the types below: matching six fields costs 3 µs an event, and whole batches can be seen to have none.
UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
ClientId = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Outcome = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Agent = Annotated[str, msgspec.Meta(max_length=2048)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One thing that happened: who did what to which entity, when, from where, and how it ended.

    Its texts, those inside `details` excepted, hold nothing that `UNPRINTABLE` finds; whoever decodes one sees to it.
    """

    event_type: Label
    """What happened, in the source's own words: `user.login`, `iam:PutUserPolicy`."""
    entity_type: Label
    """The kind of thing it happened to."""
    entity_id: Identifier
    """Which one; replaced by a reference before hashing where `entity_type` is a kind of person."""
    details: dict[str, Any] | None = msgspec.field(default=None, name="action_details")
    actor: Identifier | None = None
    """The person or service in clear. Only the vault keeps it; the ledger gets a reference."""
    outcome: Outcome | None = None
    ip_address: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    user_agent: Agent | None = None
    occurred_at: Moment | None = None
    """When it happened by the source's clock; the time of receipt where it is absent."""
    event_id: ClientId | None = None
    """Chosen by the client to make a retry safe; unique for ever within the tenant. Made by the server where absent."""
    sealed_fields: tuple[str, ...] = ()
    """JSON pointers (RFC 6901) into `details` whose values are sealed under the actor's key before hashing."""
