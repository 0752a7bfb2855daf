"""Frames and facts of a small invented tenant, and a reader for the text of a PDF that needs no PDF library."""

import hashlib
import re
import zlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

import polars as pl

from audit_pipelines.reports.compose import compose_report
from audit_pipelines.reports.model import (
    AnomalyLine,
    Checkpoint,
    Control,
    Coverage,
    Integrity,
    ModelLine,
    Report,
    SignatureLine,
)

TENANT = UUID("6f1d1f0e-3a52-4c9b-9f57-0d6a2f7b1c11")
SINCE = datetime(2026, 11, 16, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)

SCHEMA = {
    "tenant_id": pl.String,
    "seq": pl.Int64,
    "recorded_at": pl.Datetime("us", "UTC"),
    "event_id": pl.String,
    "occurred_at": pl.Datetime("us", "UTC"),
    "actor_ref": pl.String,
    "event_type": pl.String,
    "entity_type": pl.String,
    "entity_id": pl.String,
    "outcome": pl.String,
    "ip_index": pl.String,
    "user_agent": pl.String,
    "details": pl.String,
    "row_hash": pl.String,
}


def row_hash(seq: int) -> str:
    return hashlib.sha256(str(seq).encode()).hexdigest()


def make_events(*rows: dict) -> pl.DataFrame:
    """Events with what matters given and the rest filled in; `at` is in hours after SINCE."""
    full = []
    for seq, row in enumerate(rows):
        at = SINCE + timedelta(hours=row.get("at", seq))
        full.append(
            {
                "tenant_id": str(row.get("tenant_id", TENANT)),
                "seq": row.get("seq", seq),
                "recorded_at": at,
                "event_id": f"event-{seq}",
                "occurred_at": at,
                "actor_ref": row.get("actor_ref", "11111111-0000-4000-8000-000000000000"),
                "event_type": row.get("event_type", "user.login"),
                "entity_type": row.get("entity_type", "session"),
                "entity_id": row.get("entity_id", "s-1"),
                "outcome": row.get("outcome", "success"),
                "ip_index": row.get("ip_index"),
                "user_agent": None,
                "details": None,
                "row_hash": row_hash(seq),
            }
        )
    return pl.DataFrame(full, schema=SCHEMA)


def make_anomaly(**fields) -> AnomalyLine:
    values = {
        "occurred_at": SINCE + timedelta(hours=1),
        "severity": "high",
        "score": 0.91,
        "event_type": "user.login",
        "actor_ref": "11111111-0000-4000-8000-000000000000",
        "reasons": ("14 failed logins in 6 minutes, then a success",),
        "seq": 1,
        "row_hash": row_hash(1),
        "model_id": "anomaly_detector@5f0c",
    }
    return AnomalyLine(**{**values, **fields})


def make_signature(**fields) -> SignatureLine:
    values = {
        "signed_at": SINCE + timedelta(days=2, hours=9, minutes=31, seconds=7),
        "printed_name": "Alice Liddell",
        "signer_ref": "5f570fc4-0574-4ae5-8b2e-2a3780f56bfa",
        "meaning": "approved",
        "record_kind": "event",
        "record_id": "batch-2026-0417/release",
        "record_hash": row_hash(12),
        "seq": 41,
        "valid": True,
    }
    return SignatureLine(**{**values, **fields})


def make_report(events: pl.DataFrame | None = None, **fields) -> Report:
    if events is None:
        outcomes = ("success", "failure")
        events = make_events(*({"at": hour, "outcome": outcomes[hour % 9 == 0]} for hour in range(60)))
    values = {
        "kind": "security",
        "tenant_id": TENANT,
        "since": SINCE,
        "until": UNTIL,
        "scores": None,
        "tags": None,
        "anomalies": (make_anomaly(),),
        "models": (ModelLine("anomaly_detector", row_hash(7), SINCE, UNTIL, 1337, (("average_precision", 0.81),)),),
        "integrity": make_integrity(),
        "controls": (Control("Hash chain", "Every row commits to the one before it", "pass", "60 rows re-hashed"),),
        "coverage": Coverage(60, 60, 60, 60),
        "signatures": (make_signature(),),
        "generated_at": UNTIL + timedelta(hours=8),
        "tenant_name": "Northwind Clinics",
        "product_version": "0.1.0",
    }
    return compose_report(events=events, **{**values, **fields})


def make_integrity(**fields) -> Integrity:
    note = (
        f"audit.example/{TENANT}\n60\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— audit.example/log Az3grlgtz=\n"
    )
    values = {
        "result": "intact",
        "events_verified": 60,
        "first_seq": 0,
        "last_seq": 59,
        "chain_head": row_hash(59),
        "verified_at": UNTIL,
        "checkpoint": Checkpoint(60, row_hash(100), note, "audit.example/log+ce39c8a4"),
    }
    return Integrity(**{**values, **fields})


def read_text(content: bytes) -> str:
    """Return the strings that a PDF of ours shows, in drawing order, one a line; only ASCII is read."""
    shown = []
    for body in re.findall(rb"FlateDecode[^>]*>>\s*stream\r?\n(.*?)endstream", content, re.DOTALL):
        page = zlib.decompress(body)
        for line in re.findall(rb"BT (.*?) ET", page, re.DOTALL):
            text = b"".join(re.findall(rb"\(((?:\\.|[^()\\])*)\) Tj", line))
            shown.append(re.sub(rb"\\([()\\])", rb"\1", text).decode("latin-1"))
    return "\n".join(shown)
