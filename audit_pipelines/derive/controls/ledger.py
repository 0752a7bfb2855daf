"""Controls of the ledger itself: its chain, its anchors and keys, its archive, and that it proves what it holds."""

import os
from datetime import UTC, datetime, timedelta
from typing import Final

from audit_pipelines.anchors.opening import HOME
from audit_pipelines.anchors.register import AnchorState
from audit_pipelines.db.queries import query
from audit_pipelines.derive.archiving import folder_of, month_end
from audit_pipelines.derive.controls.scene import ControlDefinition, Found, Scene, found
from audit_pipelines.encryption_rotation import is_unfinished
from audit_pipelines.errors import AuditError
from audit_pipelines.keyring import open_key_ring
from audit_pipelines.ledger.archives import archives_of
from audit_pipelines.ledger.checkpoint import open_note
from audit_pipelines.ledger.evidence import check_evidence
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.ledger.verify_archives import file_faults
from audit_pipelines.ledger.verify_evidence import RefusedError
from audit_pipelines.settings import Settings

_RETENTION_DAYS: Final = 365
# checkpoint_job runs every five minutes; a missed one is no news, three are.
_SEALED_WITHIN: Final = timedelta(minutes=15)
_CLOCKS_WITHIN: Final = timedelta(seconds=2)


def _chain(scene: Scene) -> Found:
    verification = scene.verification
    if verification.intact:
        return Found(
            passed=True,
            evidence=f"{verification.events:,} events and {verification.checkpoints:,} checkpoints recomputed; "
            "all agree.",
        )
    return Found(passed=False, evidence=f"{len(verification.findings)} findings, the first: {verification.findings[0]}")


def _append_only(scene: Scene) -> Found:
    guards, missing = scene.ask("select_guards")
    (changers,) = scene.ask("select_changers")
    faults = [
        *([f"these guarding triggers are missing, switched off or refuse nothing: {missing}"] if missing else []),
        *([f"these grants could change rows: {changers}"] if changers else []),
    ]
    return found(
        faults,
        f"{guards} guarding triggers looked at. "
        + ("" if changers else "No role may insert, update, delete or truncate; audit_append is the one way in."),
    )


def _anchored(scene: Scene) -> Found:
    installation, verification = scene.installation, scene.verification
    row = scene.conn.execute(query("reports/select_newest_checkpoint"), {"tenant_id": scene.tenant_id}).fetchone()
    if row is None:
        return Found(passed=False, evidence="There is no checkpoint yet; checkpoint_job writes one within 5 minutes.")
    size, _, note, _ = row
    log = installation.anchor.read(scene.tenant_id)
    there = note in log.notes
    faults = scene.findings("anchor")
    others = [
        state for state in installation.anchor_states() if state.tenant_id == scene.tenant_id and state.anchor != HOME
    ]
    evidence = (
        f"The newest checkpoint covers {size:,} of {verification.events:,} events and is "
        f"{'in' if there else 'missing from'} the anchor file, which holds {len(log.notes):,} notes"
        f"{f' and {len(log.damaged)} damaged ranges' if log.damaged else ''}. "
        f"Further anchors configured: {len(others) or 'none'}."
    )
    return Found(
        there and not log.damaged and not faults and not any(state.behind_since for state in others),
        " ".join([evidence, *map(_reached, others), *(f"Found there: {fault}." for fault in faults[:1])]),
    )


def _reached(state: AnchorState) -> str:
    if not state.behind_since:
        return f"{state.anchor} has the newest checkpoint."
    since = state.behind_since.isoformat(timespec="seconds")
    return f"{state.anchor} is behind by {state.lag:,} events since {since}: {state.last_error or 'not tried yet'}."


def _sealed_in_time(scene: Scene) -> Found:
    unsealed, first, size, sealed_at = scene.ask("select_unsealed", before=scene.now - _SEALED_WITHIN)
    minutes = _SEALED_WITHIN // timedelta(minutes=1)
    faults = []
    if unsealed:
        faults.append(
            f"{unsealed:,} events are older than {minutes} minutes and under no signed checkpoint, the first of "
            f"{first.isoformat(timespec='seconds')}"
        )
    newest = (
        f"The newest checkpoint was signed on {sealed_at.isoformat(timespec='seconds')} over {size:,} events."
        if sealed_at
        else "There is no checkpoint."
    )
    return found(faults, newest)


def _keys(scene: Scene) -> Found:
    settings = scene.installation.settings
    faults = key_file_faults(settings)
    kept = (
        "Files of keys were looked at."
        if settings.keys_dir.is_dir()
        else "The keys are given by the environment alone."
    )
    try:
        ring = open_key_ring(settings)
        if ring and ring.unfinished:
            faults.append("the signing key was retired and still signs: its rotation is unfinished")
        row = scene.conn.execute(query("reports/select_newest_checkpoint"), {"tenant_id": scene.tenant_id}).fetchone()
        if row:
            open_note(row[2], scene.installation.verifier_keys)
    except AuditError as error:
        faults.append(str(error))
    if is_unfinished(settings):
        faults.append("a rotation of the encryption key is unfinished: the former key still opens names")
    signer = scene.installation.keyring.signer.verifier_key
    return found(faults, f"{kept} This process signs with {signer.name}+{signer.key_hash.hex()}.")


def key_file_faults(settings: Settings) -> list[str]:
    """Return in words which files of `keys/` others than this process's account can reach; none without the folder."""
    folder = settings.keys_dir
    if not folder.is_dir():
        return []
    # Notes of rotations are public, and handed out.
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".notes")
    faults = []
    for path in (folder, *files):
        state = path.stat()
        if state.st_mode & 0o077:
            faults.append(f"{path.name} has mode {state.st_mode & 0o777:o} and can be reached by others than its owner")
        elif state.st_uid != os.geteuid():
            faults.append(f"{path.name} belongs to another account of this machine")
    return faults


def _retention(scene: Scene) -> Found:
    settings = scene.installation.settings
    days = settings.audit_retention_days
    archives = archives_of(scene.conn, scene.tenant_id)
    alone = [one for one in archives if one.released_at and not one.deleted_at]
    deleted = [one for one in archives if one.deleted_at]
    recent = [one.month for one in deleted if month_end(one.month) > scene.now - timedelta(days=_RETENTION_DAYS)]
    faults = []
    if days < _RETENTION_DAYS:
        faults.append(f"AUDIT_RETENTION_DAYS is {days}, fewer than {_RETENTION_DAYS}")
    if recent:
        faults.append(f"months of the last year were deleted: {', '.join(recent)}")
    return found(
        faults,
        f"Events stay in the database for {days} days. {sum(one.rows for one in alone):,} older events in {len(alone)} "
        f"months are in the archive alone. {len(deleted)} months were deleted, each by approval of two persons; "
        f"AUDIT_ARCHIVE_YEARS is {settings.audit_archive_years}.",
    )


def _archives(scene: Scene) -> Found:
    archives = archives_of(scene.conn, scene.tenant_id)
    folder = folder_of(scene.installation)
    faults = [fault for one in archives for fault in file_faults(folder, one)]
    return found(
        # The verification reads what is inside; the files' own digests tell first which file it is.
        faults or scene.findings("archive"),
        f"{len(archives)} archived months looked at: each file against its signed manifest, and every row in it "
        f"recomputed; {scene.verification.archived:,} events were read there.",
    )


def _copies(scene: Scene) -> Found:
    row = scene.ask("select_sealed_event")
    if not row:
        return Found(passed=True, evidence="No event is under a checkpoint yet, so there is nothing to prove.")
    installation = scene.installation
    try:
        document = evidence_for(installation.database, scene.tenant_id, [row[0]], *installation.verifier_keys)
        lines = check_evidence(document)
    except (AuditError, RefusedError) as error:
        return Found(passed=False, evidence=f"No proof of the newest sealed event can be given: {error}")
    return Found(
        passed=True,
        evidence=f"Evidence of the newest sealed event was made, {len(document):,} bytes that people and machines "
        f"read, and the program that needs no database accepted it: {len(lines)} statements.",
    )


def _clocks(scene: Scene) -> Found:
    # Against the time this is asked, not `scene.now`, which may be another: two clocks are compared.
    before = datetime.now(UTC)
    database_clock, newest = scene.ask("select_clock")
    after = datetime.now(UTC)
    faults = []
    if not before - _CLOCKS_WITHIN <= database_clock <= after + _CLOCKS_WITHIN:
        apart = (database_clock - before).total_seconds()
        faults.append(f"the database's clock and this machine's are {apart:,.1f} s apart")
    if newest and newest > database_clock + _CLOCKS_WITHIN:
        faults.append(
            f"the newest row is dated {newest.isoformat(timespec='seconds')}, which is in the future: the clock was "
            "set back, or somebody moved the chain's head"
        )
    faults += scene.findings("order")
    return found(
        faults,
        f"The clocks of the database and of this machine agree within {_CLOCKS_WITHIN.seconds} s, and recorded times "
        "never go back."
        if not faults
        else "",
    )


CONTROLS: Final = (
    ControlDefinition(
        "ledger_intact",
        "Hash chain intact",
        "every row, link, checkpoint, anchor and archived month, recomputed for this report",
        _chain,
    ),
    ControlDefinition(
        "append_only",
        "Ledger is append-only",
        "the triggers on every table of evidence and every partition, and what each role is granted on them",
        _append_only,
    ),
    ControlDefinition(
        "checkpoints_anchored",
        "Checkpoints anchored outside the database",
        "the newest checkpoint, in the anchor file and by the register in each anchor elsewhere",
        _anchored,
    ),
    ControlDefinition(
        "sealed_in_time",
        "Events sealed in time",
        "rows older than 15 minutes that no signed checkpoint covers",
        _sealed_in_time,
    ),
    ControlDefinition(
        "keys_guarded",
        "Keys guarded and in force",
        "modes and owners of the files in `keys/`, unfinished rotations, and the key of the newest checkpoint",
        _keys,
    ),
    ControlDefinition(
        "history_retained",
        "Twelve months of audit history",
        "how long events stay, and which months were deleted",
        _retention,
    ),
    ControlDefinition(
        "archives_complete",
        "Archive complete",
        "the bytes of each archived segment and manifest, and the rows in them",
        _archives,
    ),
    ControlDefinition(
        "evidence_given",
        "Evidence can be given",
        "a proof of the newest sealed event, made and checked by the stand-alone program",
        _copies,
    ),
    ControlDefinition(
        "clocks_agree",
        "Clocks agree",
        "the database's clock, this machine's, and the times of the chain",
        _clocks,
    ),
)
