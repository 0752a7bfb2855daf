"""A synthetic year's end of an organisation: few loud machines, many people, details as their services write them.

For sizes that the product's own generator, which tells a story, would take minutes for; nothing in it is an attack.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from audit_pipelines.ledger.event import Event

DAYS: Final = 90
_MACHINES: Final = 60
_PEOPLE: Final = 1_500
_MACHINE_SHARE: Final = 0.9
_VERBS: Final = ("Get", "List", "Put", "Create", "Delete", "Describe", "Assume", "Update")
_THINGS: Final = ("bucket", "role", "table", "queue", "record")


def make_frame(events: int, *, seed: int, first: datetime, days: int = DAYS) -> pl.DataFrame:
    """Return events in order of time with the columns of the lake's raw events, `actor` and `address` in clear."""
    r = np.random.default_rng(seed)
    machine = r.random(events) < _MACHINE_SHARE
    actor = np.where(machine, r.zipf(1.3, events) % _MACHINES, _MACHINES + r.integers(0, _PEOPLE, events))
    start = int(first.timestamp() * 1e6)
    moments = np.sort(r.integers(0, days * 86_400_000_000, events)) + start
    kinds = np.array([f"svc{n % 17}:{verb}Thing{n}" for n, verb in enumerate(_VERBS * 24)])
    kind = (actor * 7919 + np.minimum(r.geometric(0.45, events) - 1, 12)) % len(kinds)
    of_machine, of_person = (actor * 131 + r.zipf(1.2, events)) % 40_000, (actor * 17 + r.integers(0, 300, events))
    entity = np.where(machine, of_machine, of_person % 60_000)
    network = np.where(r.random(events) < 0.003, r.integers(0, 60_000, events), actor * 3 + (r.random(events) < 0.2))
    request = r.integers(0, 1 << 48, events)
    rows = r.integers(1, 5_000, events)
    text = pl.DataFrame(
        {
            "request": [f"{number:012x}" for number in request.tolist()],
            "region": np.array(["eu-west", "us-east", "ap-south"])[actor % 3],
            "tls": np.array(["TLSvOne", "TLSvTwo"])[(r.random(events) < 0.001).astype(int)],
            "entity": entity.astype(str),
            "rows": rows.astype(str),
            "mfa": np.array(["true", "false"])[rows % 2],
        }
    )
    details = pl.concat_str(
        pl.lit('{"requestId":"'), "request", pl.lit('","region":"'), "region", pl.lit('","tlsVersion":"'), "tls",
        pl.lit('","rows":'), "rows", pl.lit(',"mfaUsed":'), "mfa", pl.lit(',"parameters":{"bucketName":"b'), "entity",
        pl.lit('","encoding":"url"},"sessionContext":"'), "request", pl.lit('"}'),
    )  # fmt: skip
    index = pl.Series(network).hash(0).cast(pl.String).str.pad_start(20, "0")
    return pl.DataFrame(
        {
            "tenant_id": "synthetic",
            "seq": np.arange(events),
            "event_id": text["request"],
            "occurred_at": pl.Series(moments).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "actor": pl.Series(actor).cast(pl.String),
            "event_type": kinds[kind],
            "entity_type": np.array(_THINGS)[entity % len(_THINGS)],
            "entity_id": text["entity"],
            "outcome": np.where(r.random(events) < 0.02, "failure", "success"),
            "address": [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in network.tolist()],
            "ip_index": index.str.slice(0, 16) + index.str.slice(4, 16),
            "user_agent": [f"aws-sdk/{n % 9}.{n % 23} lang/py os/linux#{n}" for n in (actor % 200).tolist()],
            "details": text.select(details).to_series(),
        }
    ).with_columns(actor_ref=pl.col("actor"))


def as_events(frame: pl.DataFrame) -> list[Event]:
    """Return the events of a frame as the ledger takes them."""
    columns = ("occurred_at", "actor", "event_type", "entity_type", "entity_id", "outcome", "address", "user_agent")
    return [
        Event(
            event_type=event_type,
            entity_type=entity_type,
            entity_id=entity_id,
            actor=f"actor-{actor}",
            outcome=outcome,
            ip_address=address,
            user_agent=agent,
            details={"region": "eu-west", "tlsVersion": "TLSvOne", "rows": number, "mfaUsed": number % 2 == 0},
            occurred_at=moment,
        )
        for number, (moment, actor, event_type, entity_type, entity_id, outcome, address, agent) in enumerate(
            frame.select(columns).iter_rows()
        )
    ]


def midnight(days_ago: int) -> datetime:
    """Return the beginning of the UTC day so many days ago."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
