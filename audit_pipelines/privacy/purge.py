"""What is done with each kind of copy, and why: made anew without the person, purged, or kept for a stated reason.

Every step can be repeated: what is killed halfway is done again by whoever comes next. Nothing here knows a name; when
it runs, nobody does any more.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.anomalies import update_anomalies
from audit_pipelines.derive.embedders import default_embedder
from audit_pipelines.derive.embeddings import render_again
from audit_pipelines.derive.features import update_actor_features, update_event_features
from audit_pipelines.derive.incidents import update_incidents
from audit_pipelines.derive.locks import exclusive
from audit_pipelines.derive.report_deliveries import address_key
from audit_pipelines.derive.window import Redo
from audit_pipelines.files import replacing
from audit_pipelines.intelligence import registry
from audit_pipelines.lake import snapshots
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.datasets import Written
from audit_pipelines.lake.redaction import redact_part
from audit_pipelines.ledger import sealing, verify_evidence
from audit_pipelines.ledger.entry import normalise_identity
from audit_pipelines.ledger.erasure import REQUEST
from audit_pipelines.notify.destinations import forget_mailbox
from audit_pipelines.privacy.copies import FILE, NAMING, REPORTS, UNNAMED, VAULT, Case, bounds

Action = Literal["rebuilt", "purged", "kept"]

_NOTHING: Final = hashlib.sha256(b"").digest()
# A model fitted mostly on one person's behaviour describes that person, whatever its parameters are called.
_MOSTLY: Final = 2
_KEPT_SIGNED: Final = "a signed record, as it was signed, with the printed names of signers; GDPR Art. 17(3)(b) and (e)"


@dataclass(frozen=True, slots=True)
class Done:
    """What was done with a copy; `digest` is of what is there now, None where nothing is."""

    action: Action
    reason: str
    digest: bytes | None


def _vault(case: Case, _: str) -> Done:
    with case.installation.database.connection("audit_custodian") as conn:
        conn.execute(query("privacy/rewrite_subjects"))
    return Done("purged", "the table was written anew: no page of it keeps the wrapped key or the sealed name", None)


def _raw_events(case: Case, key: str) -> Done:
    path = case.path("raw_events", key)
    with exclusive(case.installation.database, "raw_events"):
        if not path.exists():
            return Done("purged", "another part has taken its place, exported without the person", None)
        before = lineage.file_digest(path)

        def record(written: Written) -> None:
            first, last = (int(part) for part in path.stem.removeprefix("part-").split("-"))
            source = {"kind": "audit_logs", "first_seq": first, "last_seq": last, "digest": _last_hash(path)}
            inputs = (source, lineage.file_input("raw_events", key, before), case.because)
            output = lineage.Output(case.tenant_id, "raw_events", key, written.digest, inputs)
            with case.installation.database.connection("audit_pipeline") as conn:
                lineage.record(conn, [output], run_id=case.run_id)

        written = redact_part(path, case.ref, record)
        if not case.installation.settings.catalog_path.exists():
            # Without a catalog to make anew, nobody comes for what an earlier one linked.
            snapshots.remove_all(case.lake)
    return Done(
        "rebuilt",
        "same rows and row_hash; without reference, details, network index and user agent of the person's events",
        written.digest,
    )


def _last_hash(path: Path) -> str:
    import polars as pl  # noqa: PLC0415 — loaded already where there is a lake

    return str(pl.scan_parquet(path, hive_partitioning=False).select("row_hash").tail(1).collect().item())


def _event_features(case: Case, key: str) -> Done:
    update_event_features(case.installation, run_id=case.run_id, redo=Redo(case.tenant_id, case.because))
    return _rebuilt(case, key, "computed anew from the lake, where the person's events are nobody's")


def _actor_features(case: Case, key: str) -> Done:
    update_actor_features(case.installation, run_id=case.run_id, redo=Redo(case.tenant_id, case.because))
    return _rebuilt(case, key, "computed anew: the person has no days of behaviour any more")


def _event_embeddings(case: Case, _: str) -> Done:
    digest = render_again(
        case.installation,
        default_embedder(case.installation),
        case.tenant_id,
        case.seqs,
        because=case.because,
        run_id=case.run_id,
    )
    return Done(
        "rebuilt", "rendered anew without details; texts and vectors that no event has any more were deleted", digest
    )


def _model(case: Case, key: str) -> Done:
    with case.installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("privacy/select_models_trained_on"), bounds(case)).fetchall() if case.seqs else []
    kind, digest, rows_used, theirs = next((row[1:] for row in rows if row[0] == key), ("", "", 0, 0))
    path = registry.artefact_path(case.installation.settings.storage_dir, kind, digest)
    if not path.exists():
        return Done("purged", "its artefact is gone; the register keeps its digest, range and metrics", None)
    share = f"at most {theirs:,} of {rows_used:,} events it was fitted on are the person's"
    if theirs * _MOSTLY > rows_used or _holds(case, kind, digest):
        path.unlink()
        _record_gone(case, "model", key)
        return Done("purged", f"{share}; it is fitted anew without them", None)
    return Done(
        "kept",
        f"{share}; its arrays are parameters over all of them: no reference was found in it, and no row per person",
        bytes.fromhex(digest),
    )


def _holds(case: Case, kind: str, digest: str) -> bool:
    artefact = registry.load(case.installation.settings.storage_dir, kind, digest)
    needles = (str(case.ref).encode(), case.ref.bytes, str(case.ref).encode("utf-32-le"))
    contents = [json.dumps(dict(artefact.metadata)).encode(), *(each.tobytes() for each in artefact.arrays.values())]
    return any(needle in content for needle in needles for content in contents)


def _event_scores(case: Case, key: str) -> Done:
    from audit_pipelines.derive.scoring import score_events  # noqa: PLC0415 — 2 s of scikit-learn

    score_events(case.installation, run_id=case.run_id, redo=Redo(case.tenant_id, case.because))
    return _rebuilt(case, key, "scored anew from features that know no person behind these events")


def _event_tags(case: Case, key: str) -> Done:
    from audit_pipelines.derive.tagging import tag_events  # noqa: PLC0415 — 2 s of scikit-learn

    embedder = default_embedder(case.installation)
    tag_events(case.installation, embedder, run_id=case.run_id, redo=Redo(case.tenant_id, case.because))
    return _rebuilt(case, key, "tagged anew by texts without details")


def _anomalies(case: Case, _: str) -> Done:
    named = {"tenant_id": case.tenant_id, "actor_ref": case.ref}
    with (
        exclusive(case.installation.database, "anomalies"),
        case.installation.database.connection("audit_pipeline") as conn,
    ):
        conn.execute(query("privacy/detach_anomalies"), named)
    update_anomalies(case.installation, run_id=case.run_id, tenant_id=case.tenant_id)
    update_incidents(case.installation, run_id=case.run_id, tenant_id=case.tenant_id)
    with case.installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("privacy/count_anomalies"), named).fetchone()
    return Done(
        "rebuilt",
        "their anomalies have no actor and none of the old reasons, their incidents no story; verdicts stay, their "
        "words do not",
        row[1] if row else None,
    )


def _catalog(case: Case, key: str) -> Done:
    # Whoever has the catalog of before open finds its files gone: they name the person.
    build_catalog(case.installation, kept=timedelta(0))
    return _rebuilt(case, key, "views over the files above, made anew with its copies of tables")


def _report(kind: Literal["security", "compliance"]) -> Callable[[Case, str], Done]:
    def rebuild(case: Case, key: str) -> Done:
        from audit_pipelines.derive.reporting import Period, make_reports  # noqa: PLC0415 — ReportLab, 0.3 s

        path = case.path(f"{kind}_report", key)
        if not path.exists():
            return Done("purged", "the file is gone", None)
        before = lineage.file_digest(path)
        if _is_signed(case, before):
            return Done("kept", _KEPT_SIGNED, before)
        period = next(each for each in case.outputs[f"{kind}_report", key] if each["kind"] == "period")
        since, until = (datetime.fromisoformat(period[name]) for name in ("since", "until"))
        made = make_reports(case.installation, kind, Period(since, until, case.tenant_id), run_id=case.run_id)
        if path not in {one.path for one in made}:
            path.unlink()
            _record_gone(case, f"{kind}_report", key)
        return Done("rebuilt", "made anew for its period from what is left", bytes.fromhex(made[0].digest))

    return rebuild


def _is_signed(case: Case, digest: bytes) -> bool:
    asked = {"tenant_id": case.tenant_id, "digest": digest}
    with case.installation.database.tenant_connection(case.tenant_id) as conn:
        row = conn.execute(query("privacy/is_signed"), asked).fetchone()
    return bool(row and row[0])


def _archive(case: Case, key: str) -> Done:
    path = case.path("archived_segments", key)
    digest = lineage.file_digest(path) if path.exists() else None
    return Done(
        "kept",
        "the hashed bytes of the ledger, needed to verify it (GDPR Art. 17(3)(b) and (e)): references, and text sealed "
        "under the destroyed key",
        digest,
    )


def _file(case: Case, key: str) -> Done:
    settings = case.installation.settings
    if key.startswith(UNNAMED):
        return Done("kept", "not a file of the product: its path names the person; to be dealt with by hand", None)
    path = case.path(FILE, key)
    if not path.exists():
        return Done("purged", "the file is gone", None)
    if _is_evidence(path):
        return _evidence(case, path)
    if path.is_relative_to(settings.storage_dir):
        path.unlink()
        _record_gone(case, FILE, key)
        return Done("purged", "an export that names the person or their reference; it can be made again", None)
    if path.is_relative_to(settings.home / "logs") or path.is_relative_to(settings.home / "dagster"):
        # Emptied, not deleted: whoever writes it goes on writing it.
        with path.open("r+b") as file:
            file.truncate(0)
        return Done("purged", "emptied: something in it named the person", _NOTHING)
    return Done(
        "kept",
        "not a file of the product: it names the person and is to be dealt with by hand",
        lineage.file_digest(path),
    )


def _is_evidence(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".json" and verify_evidence.FORMAT.encode() in file.read(1 << 20) + _tail(path)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 20)))
        return file.read()


def _evidence(case: Case, path: Path) -> Done:
    """Take the openings of the person's values out of evidence; the proof does not need them."""
    evidence = json.loads(path.read_bytes())
    theirs = set(case.seqs)
    kept = [each for each in evidence["disclosures"] if each["seq"] not in theirs]
    if len(kept) == len(evidence["disclosures"]):
        return Done("kept", "proof of ledger rows, by reference and sealed text alone", lineage.file_digest(path))
    with replacing(path) as staging:
        staging.write_bytes(verify_evidence.to_bytes(evidence | {"disclosures": kept}))
    return Done(
        "rebuilt", "without the person's disclosed values; it proves the same events", lineage.file_digest(path)
    )


def _account(case: Case, key: str) -> Done:
    with case.installation.database.tenant_connection(case.tenant_id) as conn:
        conn.execute(query("privacy/close_account"), {"tenant_id": case.tenant_id, "key": key})
    return Done(
        "purged",
        "its password was deleted, its sessions ended, and it is closed; a keyed hash of its login stays, so that "
        "neither login nor id is given to anybody else (21 CFR 11.100(a))",
        None,
    )


def _naming_report(kind: str) -> Callable[[Case, str], Done]:
    def purge(case: Case, key: str) -> Done:
        path = case.path(kind, key)
        if not path.exists():
            return Done("purged", "the file is gone", None)
        if _is_signed(case, digest := lineage.file_digest(path)):
            return Done("kept", _KEPT_SIGNED, digest)
        path.unlink()
        _record_gone(case, kind, key)
        return Done("purged", "a report that named the person; one without them can be asked for", None)

    return purge


def _scheduled_report(case: Case, key: str) -> Done:
    """Take the person's address from a scheduled report and its messages, and switch off one that is about them."""
    named = {"tenant_id": case.tenant_id, "key": key, "actor_ref": case.ref}
    tenant_key = case.installation.vault.tenant_key(case.tenant_id)
    sealed_under = address_key(case.installation, case.tenant_id)

    def is_theirs(sealed: str, index: bytes | None) -> bool:
        address = normalise_identity(sealing.unseal(sealed_under, sealed))
        return sealing.keyed_hash(tenant_key, REQUEST, address.encode()) == index

    with case.installation.database.tenant_connection(case.tenant_id) as conn:
        erasure = conn.execute(query("privacy/select_erasure"), named).fetchone()
        row = conn.execute(query("privacy/select_recipients"), named).fetchone()
        index = erasure[4] if erasure else None
        rest = [each for each in (row[0] if row else []) if not is_theirs(each, index)]
        conn.execute(query("privacy/update_recipients"), named | {"recipients": rest})
        sent = conn.execute(query("privacy/select_sent"), named).fetchall()
        theirs = [delivery_id for delivery_id, sealed in sent if is_theirs(sealed, index)]
        conn.execute(query("privacy/forget_sent"), {"deliveries": theirs})
    return Done(
        "purged",
        "the person's address was taken from the recipients and from what was sent, of which keyed hashes stay; a "
        "report about the person was switched off",
        None,
    )


def _alert_destination(case: Case, key: str) -> Done:
    forget_mailbox(case.installation, case.tenant_id, UUID(key))
    return Done("purged", "the person's address was deleted, and no alert goes there any more", None)


def _rebuilt(case: Case, key: str, reason: str) -> Done:
    path = case.installation.settings.home / key
    return Done("rebuilt", reason, lineage.file_digest(path) if path.exists() else None)


def _record_gone(case: Case, kind: str, key: str) -> None:
    output = lineage.Output(case.tenant_id, kind, key, _NOTHING, (case.because,))
    with case.installation.database.connection("audit_pipeline") as conn:
        lineage.record(conn, [output], run_id=case.run_id)


STEPS: Final[Mapping[str, Callable[[Case, str], Done]]] = {
    VAULT: _vault,
    "raw_events": _raw_events,
    "event_features": _event_features,
    "actor_features": _actor_features,
    "event_embeddings": _event_embeddings,
    "model": _model,
    "event_scores": _event_scores,
    "event_tags": _event_tags,
    "anomalies": _anomalies,
    "lake_copy": _catalog,
    "analyst_catalog": _catalog,
    REPORTS[0]: _report("security"),
    REPORTS[1]: _report("compliance"),
    NAMING[0]: _naming_report(NAMING[0]),
    NAMING[1]: _naming_report(NAMING[1]),
    "archived_segments": _archive,
    FILE: _file,
    "account": _account,
    "scheduled_report": _scheduled_report,
    "alert_destination": _alert_destination,
}
"""By kind, in the order in which they are made of each other."""

REMAINS: Final[Mapping[str, str]] = {
    "ledger": "what was done to what and when, under the reference alone, and text sealed under the destroyed key: the "
    "hashed rows of an audit trail (GDPR Art. 17(3)(b) and (e))",
    "ip_index": "in the ledger, keyed hashes of addresses under the tenant's key",
    "others": "what other persons' events say of the person, sealed under those persons' keys or in clear, and "
    "accesses in which somebody asked for their reference",
    "write_ahead_log": "Postgres's log holds the wrapped key until its segments are used again, by max_wal_size; "
    "archived segments until they are deleted. It opens with the master key alone: keys rotate-encryption closes it",
    "backups": "copies of database, home and keys that were made before, until they are deleted; the same holds",
    "statistics": "a freed row of the planner's statistics may hold the destroyed index until it is used again; it "
    "answers those alone who have the tenant's key and guess the name",
    "disk": "freed blocks, until something is written over them",
    "memory": "processes that used the key, until they append for the tenant again or end",
    "handed_out": "evidence with disclosures, reports, exports and alerts that left this installation",
    "request": "a keyed hash of the name asked for, for 30 days, so that asking again is answered",
    "addresses": "of messages with reports, a keyed hash of the address under the tenant's key; the name of a mailbox "
    "that alerts went to, which may not have the address in it",
}
"""What no step reaches, and until when; part of each certificate."""
