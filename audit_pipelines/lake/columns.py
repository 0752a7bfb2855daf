"""What each column of the analysts' catalog means: the comments that DuckDB shows beside it.

A name means the same in every view; where it does not, the view is named. A test asks the catalog for a column without
a comment.
"""

from collections.abc import Mapping
from typing import Final

from audit_pipelines.intelligence.features import FEATURES

_EVERYWHERE: Final[Mapping[str, str]] = {
    "tenant_id": "Tenant (UUID); the catalog holds all of them.",
    "seq": "Place in the tenant's ledger, from 0 without a gap; (tenant_id, seq) names an event.",
    "recorded_at": "When the ledger recorded it; never decreases with seq.",
    "event_id": "Id of the event, unique in the tenant.",
    "occurred_at": "When it happened, by its source; may lie long before recorded_at.",
    "actor_ref": "Reference (UUID) of who did it; null where nobody is known or the person was erased. Names: the API.",
    "event_type": "Kind of event, as its source calls it.",
    "entity_type": "Kind of thing that it was done to.",
    "entity_id": "Which thing; 'erased' where it was a person who was erased.",
    "outcome": "success, failure, denied, as posted; null where the source does not say.",
    "ip_index": "Keyed hash (hex) of the address: its first 16 digits are the network's. The address itself is sealed.",
    "network": "Keyed hash (hex) of the address's network.",
    "user_agent": "Client, as it called itself.",
    "details": "What else the source said, as JSON text: details ->> 'name' reads a field. Null where nothing.",
    "row_hash": "Hash (hex) of the row in the chain; it commits to every row before it.",
    "day": "UTC day of occurred_at.",
    "hour": "Hour of occurred_at, 0 to 23, UTC.",
    "weekday": "Weekday of occurred_at, 1 (Monday) to 7, UTC.",
    "score": "How odd it was when it came, 0 to 1.",
    "model_id": "The model that gave the score; see models.",
    "category": "What the event is about; unknown where the classifier is unsure.",
    "category_confidence": "How sure the classifier is of the category, 0 to 1.",
    "risk": "How much harm it could do; unknown where the classifier is unsure.",
    "risk_confidence": "How sure the classifier is of the risk, 0 to 1.",
    "events": "Number of events.",
    "unsuccessful": "Events whose outcome is failure or denied.",
    "failures": "Events that did not succeed.",
    "event_types": "Number of different kinds of event.",
    "entities": "Number of different things touched.",
    "networks": "Number of different networks.",
    "actors": "Number of different actors.",
    "off_hours_share": "Share of the events outside working hours, 0 to 1.",
    "first_times": "Events of a kind that the actor never did before.",
    "first_seen": "occurred_at of the actor's first event.",
    "last_seen": "occurred_at of the actor's last event.",
    "usual_from": "Hour (UTC) before which a tenth of the actor's events lie.",
    "usual_until": "Hour (UTC) after which a tenth of the actor's events lie.",
    "anomaly_id": "Id (UUID) of the anomaly.",
    "severity": "low, medium, high or critical: how odd it is, and what harm its kind could do.",
    "reasons": "Why it is odd, weightiest first: JSON text, a list of {feature, text, share}.",
    "detected_at": "When the anomaly was found.",
    "verdict": "What an analyst said of it: true_positive, false_positive or benign; null before.",
    "meaning": "What could happen by such an event, in words.",
    "compared_with": "Events it was compared with: JSON text.",
    "incident_id": "The incident (UUID) it belongs to.",
    "suppressed": "Whether a suppression keeps it from alerting.",
    "state": "Where the incident stands.",
    "first_at": "occurred_at of its first anomaly.",
    "last_at": "occurred_at of its last anomaly.",
    "anomalies": "Number of its anomalies.",
    "title": "The incident in one line.",
    "meanings": "What could happen by it: JSON text, a list.",
    "story": "What happened, step by step: JSON text.",
    "opened_at": "When the incident was opened.",
    "changed_at": "When it was last changed.",
    "size": "Number of events the checkpoint commits to: seq below it.",
    "root": "Root hash (hex) of the Merkle tree over them (RFC 6962).",
    "chain_head": "row_hash (hex) of the last of them.",
    "sealed_at": "When the checkpoint was signed.",
    "key_id": "The key that signed it.",
    "note": "The signed note itself (C2SP), as anybody can check it.",
    "kind": "Which kind it is.",
    "artefact_digest": "SHA-256 (hex) of the model's file.",
    "artefact_path": "The model's file, below the storage.",
    "training_rows": "Number of rows it was trained on.",
    "training_from": "occurred_at of the first of them.",
    "training_to": "occurred_at of the last of them.",
    "training_root": "Hash (hex) that commits to the rows it was trained on.",
    "code_version": "Version of the code that made it, with a digest of its sources.",
    "metrics": "How good it was on rows it had not seen: JSON text.",
    "trained_at": "When it was trained.",
    "path": "The report's file, below the storage.",
    "digest": "SHA-256 (hex) of the file.",
    "since": "Beginning of its period, included.",
    "until": "End of its period, excluded.",
    "run_id": "The run that made it.",
    "made_at": "When it was made.",
}

_OF_A_VIEW: Final[Mapping[str, Mapping[str, str]]] = {
    "raw_events": {"day": "UTC day of recorded_at; a filter on it opens the files of those days alone."},
    "event_features": {each.name: f"{each.meaning[0].upper()}{each.meaning[1:]} ({each.unit})." for each in FEATURES},
    "incidents": {
        "score": "Highest score of its anomalies.",
        "suppressed": "Number of its anomalies that a suppression keeps from alerting.",
    },
    "models": {"kind": "anomaly_detector, category_classifier or risk_classifier."},
    "reports": {"kind": "Which report: security_report, compliance_report and others."},
}


def comment_on(view: str, column: str) -> str:
    """Return what a column means; raises KeyError where nobody wrote it down."""
    return _OF_A_VIEW.get(view, {}).get(column) or _EVERYWHERE[column]
