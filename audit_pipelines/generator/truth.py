"""What really happened: which events belong to which attack.

Kept apart from the events themselves and from everything the pipeline reads; only `evaluation` and the demo's last
step compare the two.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

import msgspec

from audit_pipelines.errors import ValidationError

AttackKind = Literal[
    "api_key_abuse",
    "backdoor_account",
    "credential_stuffing",
    "dormant_account",
    "impossible_travel",
    "insider_exfiltration",
    "lateral_movement",
    "log_tampering",
    "mass_export",
    "mfa_fatigue",
    "off_hours_admin",
    "privilege_escalation",
]
ATTACK_KINDS: tuple[AttackKind, ...] = get_args(AttackKind)

_COLUMNS = ("event_id", "incident_id", "kind", "core")


class TruthLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event of an attack.

    `core` events deserve an alert; the others are the attacker's ordinary-looking steps, which neither count for a
    detector that finds them nor against it.
    """

    event_id: str
    incident_id: str
    kind: AttackKind
    core: bool


def write_truth(path: Path, truth: Iterable[TruthLabel]) -> None:
    """Write labels as CSV where the name ends in `.csv`, else as NDJSON; an existing file is replaced."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_COLUMNS)
            writer.writerows((label.event_id, label.incident_id, label.kind, int(label.core)) for label in truth)
    else:
        path.write_bytes(b"".join(msgspec.json.encode(label) + b"\n" for label in truth))


def read_truth(path: Path) -> list[TruthLabel]:
    """Read what `write_truth` wrote.

    Raises ValidationError with the line of every fault.
    """
    labels: list[TruthLabel] = []
    faults: list[tuple[str, str]] = []
    with path.open(encoding="utf-8", newline="") as file:
        rows: Iterable[tuple[int, object]]
        if path.suffix == ".csv":
            reader = csv.DictReader(file)
            rows = ((reader.line_num, row) for row in reader)
        else:
            rows = enumerate(file, start=1)
        for line, row in rows:
            try:
                labels.append(_label(row))
            except msgspec.MsgspecError as error:
                faults.append((str(line), str(error)))
    if faults:
        raise ValidationError(
            f"{path.name}: expected labels of {', '.join(_COLUMNS)}; {len(faults)} lines are none. Write it anew.",
            tuple(faults),
        )
    return labels


def _label(row: object) -> TruthLabel:
    if isinstance(row, str):
        return msgspec.json.decode(row, type=TruthLabel)
    return msgspec.convert(row, TruthLabel, strict=False)
