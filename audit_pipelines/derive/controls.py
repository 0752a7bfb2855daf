"""Controls with live evidence: what the running system itself can show, and plainly what it cannot.

Each is checked when a report is made, against catalogs, rows and files, never against what the configuration hopes for.
Named are PCI DSS 4.0, SEC 17a-4, ISO/IEC 27001:2022, GDPR, HIPAA and 21 CFR Part 11.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from audit_pipelines.anchors.opening import HOME
from audit_pipelines.anchors.register import AnchorState
from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive.archiving import month_end
from audit_pipelines.derive.reviews import WATCHED_DAYS
from audit_pipelines.identity.opening import open_identity
from audit_pipelines.installation import Installation
from audit_pipelines.ledger.archives import archives_of
from audit_pipelines.ledger.verify import Verification
from audit_pipelines.reports.model import Control, ControlResult

_RETENTION_DAYS: Final = 365

NOT_SOFTWARE: Final = (
    Control(
        "Trained persons",
        "21 CFR 11.10(i)",
        "not software",
        "Education, training and experience of those who use the system are records of the organisation.",
    ),
    Control(
        "A copy of checkpoints in other hands",
        "SEC 17a-4(f); ISO/IEC 27001:2022 A.8.15",
        "not software",
        "The anchor folder must be kept where administrators of the database cannot write; no program can see that.",
    ),
)


def check_controls(installation: Installation, verification: Verification) -> tuple[Control, ...]:
    """Check each control for one tenant and return all of them, those that are not software last."""
    with installation.database.connection("audit_pipeline") as conn:
        checked = (
            _chain(verification),
            _append_only(conn),
            _tenants_apart(conn),
            _server_confined(installation),
            _addresses_sealed(conn, verification),
            _reading_recorded(installation, conn, verification),
            _anchored(installation, conn, verification),
            _retention(installation, conn, verification),
            _signatures(installation, conn, verification),
            _reviews(installation, verification),
        )
    return (*checked, *NOT_SOFTWARE)


def _chain(verification: Verification) -> Control:
    if verification.intact:
        evidence = f"{verification.events:,} events and {verification.checkpoints:,} checkpoints recomputed; all agree."
    else:
        evidence = f"{len(verification.findings)} findings, the first: {verification.findings[0]}"
    return Control(
        "Hash chain intact", "PCI DSS 10.3.4; SEC 17a-4(f)(2)(i)(A)", _result(passed=verification.intact), evidence
    )


def _append_only(conn: Connection) -> Control:
    triggers, grants = conn.execute(query("reports/select_append_only")).fetchone() or (0, "unknown")
    evidence = f"{triggers} of 2 guarding triggers are enabled on audit_logs; " + (
        f"these grants could change rows: {grants}." if grants else "no role may insert, update, delete or truncate."
    )
    return Control(
        "Ledger is append-only",
        "PCI DSS 10.3.2; 21 CFR 11.10(e)",
        _result(passed=triggers == 2 and not grants),
        evidence,
    )


def _tenants_apart(conn: Connection) -> Control:
    tables, unforced = conn.execute(query("reports/select_row_security")).fetchone() or (0, "unknown")
    evidence = f"Row-level security is forced on {tables} tables with a tenant" + (
        f", but not on {unforced}." if unforced else ", and on every one of them."
    )
    return Control(
        "Tenants kept apart",
        "ISO/IEC 27001:2022 A.8.3; SOC 2 CC6.1",
        _result(passed=tables > 0 and not unforced),
        evidence,
    )


def _server_confined(installation: Installation) -> Control:
    with installation.database.connection("audit_app") as conn:
        login, is_more = conn.execute(query("reports/select_server_login")).fetchone() or ("unknown", True)
    evidence = f"The server's requests run in sessions of the account {login}, which " + (
        "can take on more rights than audit_app has; DATABASE_APP_URL names an account that cannot."
        if is_more
        else "owns nothing and can become no other role."
    )
    return Control(
        "Server confined to its role", "ISO/IEC 27001:2022 A.8.2; SOC 2 CC6.3", _result(passed=not is_more), evidence
    )


def _addresses_sealed(conn: Connection, verification: Verification) -> Control:
    parameters = {"tenant_id": verification.tenant_id}
    with_address, clear = conn.execute(query("reports/count_clear_addresses"), parameters).fetchone() or (0, 0)
    return Control(
        "Addresses sealed",
        "GDPR Art. 32(1)(a)",
        _result(passed=clear == 0),
        f"{with_address:,} events carry an address; {clear:,} of them in clear.",
    )


def _reading_recorded(installation: Installation, conn: Connection, verification: Verification) -> Control:
    parameters = {"tenant_id": verification.tenant_id}
    (count,) = conn.execute(query("reports/count_accesses"), parameters).fetchone() or (0,)
    faults = [finding for finding in verification.findings if finding.kind == "access"]
    enabled = installation.access_log.enabled
    sentences = [f"{count:,} accesses are recorded as entries of the chain; {len(faults):,} differ from their entries."]
    if not enabled:
        sentences.insert(0, "AUDIT_ENABLE_ACCESS_LOGGING is false: nothing that is read is recorded now.")
    return Control(
        "Reading is recorded",
        "PCI DSS 10.2.1.3; HIPAA 45 CFR 164.312(b); 21 CFR 11.10(e)",
        _result(passed=enabled and not faults),
        " ".join(sentences),
    )


def _anchored(installation: Installation, conn: Connection, verification: Verification) -> Control:
    row = conn.execute(query("reports/select_newest_checkpoint"), {"tenant_id": verification.tenant_id}).fetchone()
    if row is None:
        return Control(
            "Checkpoints anchored outside the database",
            "SEC 17a-4(f)(2)(i)(A); ISO/IEC 27001:2022 A.8.15",
            "fail",
            "There is no checkpoint yet; checkpoint_job writes one within 5 minutes.",
        )
    size, _, note, _ = row
    log = installation.anchor.read(verification.tenant_id)
    there = note in log.notes
    faults = [finding for finding in verification.findings if finding.kind == "anchor"]
    others = [
        state
        for state in installation.anchor_states()
        if state.tenant_id == verification.tenant_id and state.anchor != HOME
    ]
    evidence = (
        f"The newest checkpoint covers {size:,} of {verification.events:,} events and is "
        f"{'in' if there else 'missing from'} the anchor file, which holds {len(log.notes):,} notes"
        f"{f' and {len(log.damaged)} damaged ranges' if log.damaged else ''}. "
        f"Further anchors configured: {len(others) or 'none'}."
    )
    return Control(
        "Checkpoints anchored outside the database",
        "SEC 17a-4(f)(2)(i)(A); ISO/IEC 27001:2022 A.8.15",
        _result(passed=there and not log.damaged and not faults and not any(state.behind_since for state in others)),
        " ".join([evidence, *map(_reached, others), *(f"Found there: {fault.what}." for fault in faults[:1])]),
    )


def _reached(state: AnchorState) -> str:
    if not state.behind_since:
        return f"{state.anchor} has the newest checkpoint."
    since = state.behind_since.isoformat(timespec="seconds")
    return f"{state.anchor} is behind by {state.lag:,} events since {since}: {state.last_error or 'not tried yet'}."


def _retention(installation: Installation, conn: Connection, verification: Verification) -> Control:
    days = installation.settings.audit_retention_days
    archives = archives_of(conn, verification.tenant_id)
    alone = [one for one in archives if one.released_at and not one.deleted_at]
    deleted = [one for one in archives if one.deleted_at]
    faults = [finding for finding in verification.findings if finding.kind == "archive"]
    recent = [one for one in deleted if month_end(one.month) > datetime.now(UTC) - timedelta(days=_RETENTION_DAYS)]
    evidence = (
        f"AUDIT_RETENTION_DAYS is {days}: so long events stay in the database. {sum(one.rows for one in alone):,} "
        f"older events in {len(alone)} months are in the archive alone; verification reads them there. "
        f"{len(deleted)} months were deleted, each by approval of two persons; AUDIT_ARCHIVE_YEARS is "
        f"{installation.settings.audit_archive_years}."
    )
    return Control(
        "Twelve months of audit history",
        "PCI DSS 10.5.1",
        _result(passed=days >= _RETENTION_DAYS and not faults and not recent),
        " ".join([evidence, *(f"Found there: {fault.what}." for fault in faults[:1])]),
    )


def _signatures(installation: Installation, conn: Connection, verification: Verification) -> Control:
    identity = open_identity(installation)
    with installation.database.tenant_connection(verification.tenant_id) as own:
        made = identity.signatures.of_records(own, limit=None)
    parameters = {"tenant_id": verification.tenant_id}
    entries, lost = conn.execute(query("reports/count_signature_entries"), parameters).fetchone() or (0, 0)
    broken = [one for one in made if one.state == "invalid"]
    deleted = sum(one.state == "deleted" for one in made)
    evidence = (
        f"{len(made):,} signatures checked against their records and the ledger; {len(broken):,} of them do not hold. "
        f"{deleted:,} cannot be compared any more, since two persons approved the deletion of their archive. "
        f"{entries:,} entries in the database speak of a signature; {lost:,} of these signatures are missing."
    )
    first = (
        f" The first that does not hold: {broken[0].signature_id}, {'; '.join(broken[0].problems)}." if broken else ""
    )
    return Control(
        "Electronic signatures bound to their records",
        "21 CFR 11.50, 11.70",
        _result(passed=not broken and not lost),
        evidence + first,
    )


def _reviews(installation: Installation, verification: Verification) -> Control:
    reviews = open_identity(installation).reviews
    with installation.database.tenant_connection(verification.tenant_id) as conn:
        due = reviews.due(conn, WATCHED_DAYS)
    late = [review for review in due if review.state != "signed"]
    evidence = (
        f"{len(late):,} of the last {WATCHED_DAYS} days lack a valid signature that was due, the oldest {late[-1].day}."
        if late
        else f"{len(due):,} of the last {WATCHED_DAYS} days were due; each has a record with a valid signature."
        if due
        else f"None of the last {WATCHED_DAYS} days was due yet."
    )
    return Control(
        "Daily review of audit logs",
        "PCI DSS 10.4.1; HIPAA 45 CFR 164.308(a)(1)(ii)(D); 21 CFR 11.10(e)",
        _result(passed=not late),
        f"{evidence} How well they were looked at, only those who signed can attest.",
    )


def _result(*, passed: bool) -> ControlResult:
    return "pass" if passed else "fail"
