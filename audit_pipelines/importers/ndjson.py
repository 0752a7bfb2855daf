"""The neutral form: one JSON object a line, with the fields of an event under their own names.

For whatever has no importer of its own: a few lines of `jq` or SQL make this form. Strict about names, so that a
misspelt field is reported instead of vanishing; tolerant about how outcomes and addresses are written.
"""

import difflib
from typing import Any

from audit_pipelines.errors import ValidationError
from audit_pipelines.importers.fields import address, build_event, decode_object, json_kind, moment
from audit_pipelines.importers.outcomes import normal_outcome
from audit_pipelines.importers.sealing import sealed_pointers
from audit_pipelines.ledger.event import Event

REQUIRED = ("occurred_at", "event_type", "entity_type", "entity_id")
OPTIONAL = ("actor", "ip_address", "user_agent", "outcome", "details", "event_id")

_KNOWN = frozenset(REQUIRED + OPTIONAL)
_MEANT = {
    "action": "event_type", "action_details": "details", "client_ip": "ip_address", "event": "event_type",
    "id": "event_id", "ip": "ip_address", "metadata": "details", "result": "outcome", "source_ip": "ip_address",
    "status": "outcome", "time": "occurred_at", "timestamp": "occurred_at", "user": "actor", "username": "actor",
}  # fmt: skip


def parse(record: bytes) -> Event:
    """Map one object of the neutral form to an event; raise `ValidationError` naming every fault."""
    body = decode_object(record)
    faults = [_unknown(name) for name in body if name not in _KNOWN]
    faults += [f"{name}: expected a value, got none" for name in REQUIRED if body.get(name) in (None, "")]
    details = body.get("details")
    if not isinstance(details, dict | None):
        faults.append(f"details: expected a JSON object or null, got {json_kind(details)}")
    if not isinstance(body.get("ip_address"), str | None):
        faults.append(f"ip_address: expected a text or null, got {json_kind(body['ip_address'])}")
    occurred_at = None
    if body.get("occurred_at") not in (None, ""):
        try:
            occurred_at = moment(body["occurred_at"], "occurred_at")
        except ValidationError as error:
            faults.append(str(error))
    if faults:
        raise ValidationError("; ".join(faults), tuple(("/" + fault.split(":")[0], fault) for fault in faults))

    ip_address, details = _split_address(body.get("ip_address"), details)
    identifiers = frozenset(text for text in (body.get("actor"), ip_address) if isinstance(text, str))
    return build_event(
        {
            "event_id": body.get("event_id") or None,
            "occurred_at": occurred_at,
            "actor": body.get("actor") or None,
            "event_type": body["event_type"],
            "entity_type": body["entity_type"],
            "entity_id": body["entity_id"],
            "outcome": normal_outcome(body.get("outcome")),
            "ip_address": ip_address,
            "user_agent": body.get("user_agent") or None,
            "action_details": details,
            "sealed_fields": sealed_pointers(details, identifiers) if details else (),
        },
        len(record),
    )


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, _KNOWN, n=1)
    meant = _MEANT.get(name.lower()) or (close[0] if close else None)
    advice = f"did you mean {meant}?" if meant else "put it under details"
    return f"{name[:60]}: unknown field, {advice}"


def _split_address(value: str | None, details: dict[str, Any] | None) -> tuple[str | None, dict[str, Any] | None]:
    """Return the address for the column, and the details with the source's own text where the column cannot hold it."""
    if not value:
        return None, details
    found, exact = address(value)
    if found and exact:
        return found, details
    key = "source_address"
    while details and key in details:
        key += "_"
    return found, {**(details or {}), key: value}
