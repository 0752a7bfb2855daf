"""Exports that are made as a whole, of a bounded number of events: a PDF for people, and evidence for strangers.

What is gathered and under which heading is decided here; the pages are `reports/events_pdf.py`'s, and what makes
evidence convincing `ledger/proof.py`'s.
"""

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import polars as pl

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.signing import signature_lines
from audit_pipelines.errors import ValidationError
from audit_pipelines.exports.reading import COLUMNS, Reader, count, left_out
from audit_pipelines.exports.selection import Head, Order
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.entry import format_moment
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.reports import model

MOST_IN_PDF: Final = 10_000
MOST_IN_EVIDENCE: Final = 1_000
"""Each event brings its proof, about 2 KB; the ledger's leaves are read once for all of them."""
_LONGEST_DETAILS: Final = 2_000


def covered(installation: Installation, tenant_id: UUID, head: Head) -> Head:
    """Return the head as far as a checkpoint covers the ledger: what comes later cannot be proven yet."""
    with installation.database.tenant_connection(tenant_id) as conn:
        row = conn.execute(query("exports/select_covered")).fetchone()
    seq, row_hash = row or (-1, b"")
    return replace(head, seq=seq, row_hash=row_hash) if seq < head.seq else head


def evidence(installation: Installation, wanted: Order, reader: Reader) -> tuple[bytes, int]:
    """Return evidence of what was selected, and of how many events.

    Raises:
        ValidationError: when there is none to prove, or more than one file takes.
    """
    ids: list[str] = []
    for frame in reader:
        ids += frame["event_id"].to_list()
        if len(ids) > MOST_IN_EVIDENCE:
            raise _fault(f"expected at most {MOST_IN_EVIDENCE:,} events in one file of evidence; narrow the filters")
    if not ids:
        raise _fault("expected at least one event under a checkpoint; the next checkpoint comes within minutes")
    return evidence_for(installation.database, wanted.tenant_id, ids, *installation.verifier_keys), len(ids)


def pdf(installation: Installation, wanted: Order, reader: Reader) -> tuple[bytes, int]:
    """Return the pages about what was selected, the first 10,000 events at most, and how many they show."""
    from audit_pipelines.reports import events_pdf  # noqa: PLC0415 — ReportLab, 0.3 s

    frames = list(reader)
    events = pl.concat(frames) if frames else pl.DataFrame(schema=dict(COLUMNS))
    selection, tenant_id = wanted.selection, wanted.tenant_id
    matching = count(installation, tenant_id, replace(selection, limit=None), wanted.head, most=None)
    now = datetime.now(UTC)
    filters = [(label.replace("_", " "), str(value)) for label, value in wanted.asked.items() if label != "limit"]
    if missing := left_out(installation, tenant_id, selection):
        filters.append(("months not looked into", ", ".join(missing)))
    heading = events_pdf.ExportHeading(
        tenant_id=tenant_id,
        title="Export of events",
        requested_by=wanted.by,
        generated_at=now,
        integrity=_integrity(installation, wanted),
        matching=max(matching, events.height),
        filters=tuple(filters),
        since=selection.since,
        until=selection.until,
        summary=model.Summary(()) if wanted.include_summary else None,
        signatures=tuple(
            signature_lines(
                installation, tenant_id, selection.since or datetime.min.replace(tzinfo=UTC), selection.until or now
            )
        ),
        product_version=lineage.product_version(),
    )
    with tempfile.TemporaryDirectory(prefix="audit-export-") as folder:
        target = Path(folder) / "export.pdf"
        events_pdf.write_events_pdf(heading, _printed(events), target, installation.pdf_certificate)
        return target.read_bytes(), events.height


def _printed(events: pl.DataFrame) -> pl.DataFrame:
    details = pl.col("details")
    cut = pl.concat_str(details.str.head(_LONGEST_DETAILS), pl.lit(" … (cut)"))
    actor = pl.coalesce("actor", "actor_ref") if "actor" in events.columns else pl.col("actor_ref")
    return events.select(
        "seq",
        "occurred_at",
        "event_type",
        "row_hash",
        actor.alias("actor"),
        "entity_type",
        "entity_id",
        "outcome",
        pl.when(details.str.len_chars() > _LONGEST_DETAILS).then(cut).otherwise(details).alias("details"),
    )


def _integrity(installation: Installation, wanted: Order) -> model.Integrity:
    """Return what the last verification said: recomputing a ledger is no part of exporting a page of it."""
    verified = installation.verified(wanted.tenant_id)
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("reports/select_newest_checkpoint"), {"tenant_id": wanted.tenant_id}).fetchone()
    return model.Integrity(
        result="intact" if verified else "not verified",
        events_verified=verified.size if verified else 0,
        first_seq=0 if verified else None,
        last_seq=verified.size - 1 if verified else None,
        chain_head=None,
        verified_at=verified.whole_at if verified else None,
        checkpoint=model.Checkpoint(*row) if row else None,
        finding=""
        if verified
        else f"no verification is remembered; the export was read up to seq {wanted.head.seq}, "
        f"row_hash {wanted.head.row_hash.hex()}, on {format_moment(datetime.now(UTC))}",
    )


def _fault(what: str) -> ValidationError:
    return ValidationError(f"The export cannot be made: {what}.", (("/filters", what),))
