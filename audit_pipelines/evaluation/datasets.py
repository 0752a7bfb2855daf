"""Finding labelled events: generated companies, labelled files, and attack recordings replayed into benign tenants.

Reads through the product's importers, so that an event is mapped here as it would be in production. Nothing is judged
here.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Final, Literal, get_args

import msgspec

from audit_pipelines.errors import ValidationError
from audit_pipelines.evaluation.cloud_tenant import cloud_tenant
from audit_pipelines.evaluation.labelled import BENIGN, Label, Labelled, LabelledEvent, Truth, moved
from audit_pipelines.evaluation.office_tenant import office_tenant
from audit_pipelines.generator.generate import generate
from audit_pipelines.importers import FORMATS
from audit_pipelines.importers.run import content_id
from audit_pipelines.importers.source import Fault, FoundFile, Record, find_files, read_records
from audit_pipelines.ledger.event import Event

LABELS_FILE: Final = "labels.csv"

Identity = Literal["existing", "own"]
"""Whether a replayed attacker acts as an actor the tenant knows, or under the name in the recording."""

_DEMO_END: Final = datetime(2026, 3, 2, tzinfo=UTC)
_SNIFFED_RECORDS: Final = 20
# A replayed attack starts in the later part: before it, nobody has habits to depart from.
_REPLAY_FROM: Final = 0.4
_REPLAY_UNTIL: Final = 0.98
_VICTIM_EVENTS: Final = 20


def read_dataset(
    name: str, *, into: str | None = None, identity: Identity = "existing", seed: int = 0, product: str | None = None
) -> Labelled:
    """Return the labelled stream that `name` stands for.

    `demo`, `cloud` and `office`, each with `:SEED` (1 without), are generated; anything else is a file or folder. With
    `into`, another dataset, each file of the folder `name` is one attack and is replayed into the benign events of
    that dataset, as `identity`, at moments chosen by `seed`. `product` names the importer; else the content decides.

    Raises ValidationError for what is neither, for labels that do not fit, and for events that cannot be read.
    """
    if into is not None:
        return replay(read_attacks(Path(name), product), read_dataset(into, product=product), identity, seed)
    kind, _, number = name.partition(":")
    if kind in GENERATED:
        if number and not number.isdigit():
            raise ValidationError(f"expected {kind}:SEED with a whole number, got {name!r}")
        return GENERATED[kind](int(number or 1))
    return read_labelled(Path(name), product)


def demo_tenant(seed: int) -> Labelled:
    """Return the demo company's week with its attacks; an incident's kind is its technique."""
    story = generate(seed, _DEMO_END)
    labels = {
        each.event_id: Label("attack" if each.core else "ignored", each.kind, each.incident_id) for each in story.truth
    }
    events = tuple(LabelledEvent(each, labels.get(each.event_id or "", BENIGN)) for each in story.events)
    return Labelled(f"demo:{seed}", events)


GENERATED: Final = {"demo": demo_tenant, "cloud": cloud_tenant, "office": office_tenant}


def read_labelled(path: Path, product: str | None = None) -> Labelled:
    """Read a folder of events beside a `labels.csv`, or events alone (then nothing is known to be an attack).

    `labels.csv` has `line` (1-based, of the events in the order of files and lines), `label` (attack, benign or
    ignored), and may have `technique` and `incident` (`run` is taken for it, too). An event that a file repeats under
    the same id is kept once; it is an attack if any of its lines is.

    Raises ValidationError naming the line at fault.
    """
    labels = _read_labels(path / LABELS_FILE) if (path / LABELS_FILE).is_file() else {}
    kept: dict[str, LabelledEvent] = {}
    number = 0
    for record in _records([path]):
        number += 1
        label = labels.get(number, BENIGN)
        each = LabelledEvent(_parsed(record, product), label)
        event_id = each.event.event_id or ""
        if event_id in kept and (label.truth == "benign" or kept[event_id].label.truth == "attack"):
            continue
        kept[event_id] = each
    if labels and max(labels) > number:
        raise ValidationError(f"{path / LABELS_FILE}: expected lines up to {number}, got line {max(labels)}")
    return Labelled(path.name, tuple(kept.values()))


@dataclass(frozen=True)
class Attack:
    """A recorded attack: its technique, and its events in order of time."""

    technique: str
    events: tuple[LabelledEvent, ...]


def read_attacks(folder: Path, product: str | None = None) -> list[Attack]:
    """Read a folder in which each file is the recording of one attack named like the file."""
    attacks = []
    for found in find_files([folder]):
        if isinstance(found, Fault):
            raise ValidationError(str(found))
        technique = found.path.name.removesuffix(".gz").rsplit(".", 1)[0]
        events = {}
        for record in _records([found.path]):
            event = _parsed(record, product)
            events[event.event_id] = LabelledEvent(event, Label("attack", technique, technique))
        attacks.append(Attack(technique, tuple(sorted(events.values(), key=_moment))))
    return attacks


def replay(attacks: Sequence[Attack], tenant: Labelled, identity: Identity, seed: int) -> Labelled:
    """Put each attack into the later part of a tenant's benign events, deterministic by `seed`.

    The recording's main actor becomes an actor of the tenant with a past (`existing`) or keeps its name (`own`). Where
    the tenant's log has no addresses or clients, the attack has none either, or their presence alone would give it
    away. The technique's order and gaps stay.
    """
    rng = Random(f"replay/{seed}")  # noqa: S311 - a reproducible experiment, not a secret
    benign = [each for each in tenant.events if each.label.truth == "benign"]
    if not benign:
        raise ValidationError(f"{tenant.name}: expected benign events to replay into, got none")
    times = sorted(_moment(each) for each in benign)
    placed = any(each.event.ip_address for each in benign)
    with_agents = any(each.event.user_agent for each in benign)
    counts = Counter(each.event.actor for each in benign if each.event.actor)
    known = sorted(actor for actor, events in counts.items() if events >= _VICTIM_EVENTS) or sorted(counts)
    added: list[LabelledEvent] = []
    for attack in attacks:
        first = times[int(len(times) * rng.uniform(_REPLAY_FROM, _REPLAY_UNTIL))]
        victim = rng.choice(known) if known else None
        main = Counter(each.event.actor for each in attack.events).most_common(1)[0][0]
        shift = first + timedelta(seconds=rng.uniform(0, 60)) - _moment(attack.events[0])
        for each in attack.events:
            changes: dict[str, object] = {"event_id": f"replay:{each.event.event_id}"}
            if identity == "existing" and each.event.actor == main:
                changes["actor"] = victim
            if not placed:
                changes["ip_address"] = None
            if not with_agents:
                changes["user_agent"] = None
            added.append(moved(each, _moment(each) + shift, **changes))
    merged = sorted([*benign, *added], key=_moment)
    return Labelled(f"attacks into {tenant.name} as {identity}", tuple(merged))


def _moment(each: LabelledEvent) -> datetime:
    moment = each.event.occurred_at
    if moment is None:
        raise ValidationError("expected events with a moment, got one without; labelled events need one")
    return moment


def _records(paths: Iterable[Path]) -> Iterator[Record]:
    for found in find_files(paths):
        if isinstance(found, Fault):
            raise ValidationError(str(found))
        if isinstance(found, FoundFile):
            for record in read_records(found.path):
                if isinstance(record, Fault):
                    raise ValidationError(str(record))
                yield record


def _parsed(record: Record, product: str | None) -> Event:
    formats = FORMATS if product is None else {product: FORMATS[product]} if product in FORMATS else None
    if formats is None:
        raise ValidationError(f"expected a format among {', '.join(sorted(FORMATS))}, got {product!r}")
    faults = []
    for name in _likely(record.path, tuple(formats)):
        try:
            event = formats[name](record.raw)
        except ValidationError as error:
            faults.append(f"{name}: {error}")
        else:
            # Equal records without an id of their own are several events, as an import counts them.
            return (
                event
                if event.event_id
                else msgspec.structs.replace(event, event_id=f"{content_id(record.raw, 1)}:{record.number}")
            )
    raise ValidationError(str(record.fault(f"no importer reads it: {'; '.join(faults)}")))


@lru_cache(maxsize=4096)
def _likely(path: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Order formats by how many of a file's first records they read; the neutral form first among equals."""
    read: Counter[str] = Counter()
    for at, record in enumerate(read_records(path)):
        if at >= _SNIFFED_RECORDS:
            break
        for name in names:
            try:
                FORMATS[name](record.raw if isinstance(record, Record) else b"")
            except ValidationError:
                continue
            read[name] += 1
    return tuple(sorted(names, key=lambda name: (-read[name], name != "ndjson", name)))


def _read_labels(path: Path) -> Mapping[int, Label]:
    labels: dict[int, Label] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            line, truth = row.get("line") or "", row.get("label") or ""
            if not line.isdigit() or truth not in get_args(Truth):
                raise ValidationError(
                    f"{path}, line {reader.line_num}: expected `line` as a number and `label` as one of "
                    f"{', '.join(get_args(Truth))}, got {line!r} and {truth!r}"
                )
            incident = row.get("incident") or row.get("run") or None
            labels[int(line)] = Label(truth, row.get("technique") or None, incident)  # type: ignore[arg-type]  # checked
    return labels
