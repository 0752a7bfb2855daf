"""Controls of what concerns people: signatures and reviews, watching, sealed persons, erasures and holds."""

from datetime import UTC, timedelta
from typing import Final

from audit_pipelines.derive import models
from audit_pipelines.derive.controls.scene import ControlDefinition, Found, Scene, found, some
from audit_pipelines.derive.models import ModelKind
from audit_pipelines.derive.reviews import WATCHED_DAYS
from audit_pipelines.errors import AuditError
from audit_pipelines.ledger.verify_certificate import verify_certificate
from audit_pipelines.ledger.verify_evidence import RefusedError

# erasure_job starts two minutes after the key is gone, and takes minutes.
_CERTIFIED_WITHIN: Final = timedelta(hours=1)
# anomaly_detection_job runs every hour.
_SCORED_WITHIN: Final = timedelta(hours=3)
_EXPORTED_AT_MOST: Final = 1_000


def _signatures(scene: Scene) -> Found:
    with scene.installation.database.tenant_connection(scene.tenant_id) as own:
        made = scene.identity.signatures.of_records(own, limit=None)
    entries, lost = scene.ask("count_signature_entries")
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
    return Found(not broken and not lost, evidence + first)


def _reviews(scene: Scene) -> Found:
    with scene.installation.database.tenant_connection(scene.tenant_id) as conn:
        due = scene.identity.reviews.due(conn, WATCHED_DAYS)
    late = [review for review in due if review.state != "signed"]
    evidence = (
        f"{len(late):,} of the last {WATCHED_DAYS} days lack a valid signature that was due, the oldest {late[-1].day}."
        if late
        else f"{len(due):,} of the last {WATCHED_DAYS} days were due; each has a record with a valid signature."
        if due
        else f"None of the last {WATCHED_DAYS} days was due yet."
    )
    return Found(not late, f"{evidence} How well they were looked at, only those who signed can attest.")


def _review_records(scene: Scene) -> Found:
    # A record is made in the night after its day.
    until = (scene.now - timedelta(hours=26)).astimezone(UTC).date()
    since = until - timedelta(days=WATCHED_DAYS)
    made, missing = scene.ask("select_review_gaps", since=since, until=until)
    days = missing.split(", ") if missing else []
    return found(
        [f"no record was made of {len(days)} days that are over: {some(days)}"] if days else [],
        f"{made:,} records of days were made by machine, each with failed logins, locked accounts, anomalies and what "
        "a verification found.",
    )


def _detection(scene: Scene) -> Found:
    row = scene.ask("select_unscored", before=scene.now - _SCORED_WITHIN)
    last, unscored, first = row or (None, 0, None)
    hours = _SCORED_WITHIN // timedelta(hours=1)
    return found(
        [
            (
                f"{unscored:,} events are older than {hours} hours and not scored, the first recorded on "
                f"{first.isoformat(timespec='seconds')}"
            )
        ]
        if unscored
        else [],
        f"The lineage says that events up to seq {last:,} were scored for anomalies."
        if last is not None
        else f"No event was scored yet; one must be {hours} hours after it came.",
    )


def _models(scene: Scene) -> Found:
    registered = scene.ask_all("select_models")
    anomalies, unexplained = scene.ask("count_unexplained")
    faults = []
    for model_id, kind, digest in registered:
        try:
            models.load(scene.installation, _kind(kind), digest)
        except (AuditError, OSError) as error:
            faults.append(f"model {model_id} is not what was trained: {error}")
    if unexplained:
        faults.append(f"{unexplained:,} anomalies name a model that is not in the register")
    return found(
        faults,
        f"{len(registered):,} models compared with their digests; {anomalies:,} anomalies name the model that found "
        "them, and say why.",
    )


def _kind(kind: str) -> ModelKind:
    kinds: dict[str, ModelKind] = {
        "anomaly_detector": "anomaly_detector",
        "category_classifier": "category_classifier",
        "risk_classifier": "risk_classifier",
    }
    return kinds[kind]


def _addresses_sealed(scene: Scene) -> Found:
    with_address, clear = scene.ask("count_clear_addresses")
    return Found(clear == 0, f"{with_address:,} events and accesses carry an address; {clear:,} of them in clear.")


def _persons_sealed(scene: Scene) -> Found:
    ((living, erased, wrong, newest),) = scene.ask_as_tenant("select_subjects")
    faults = [f"not sealed under a key of their own, or not erased as it says: {some(wrong)}"] if wrong else []
    names = 0
    try:
        with scene.installation.database.tenant_connection(scene.tenant_id) as conn:
            names = len(scene.installation.vault.identities(conn, newest or []))
    except AuditError as error:
        faults.append(str(error))
    return found(
        faults,
        f"{living:,} persons and services are sealed under a key each, {erased:,} are erased and have none"
        + (f"; the newest {names} opened with the master key." if not faults else "."),
    )


def _person_answered(scene: Scene) -> Found:
    ((_, _, _, newest),) = scene.ask_as_tenant("select_subjects")
    if not newest:
        return Found(passed=True, evidence="The tenant has no living person yet, so nobody can ask.")
    from audit_pipelines.privacy import subject_access  # noqa: PLC0415 - importing the graph need not pay for PDFs

    installation = scene.installation
    try:
        person = subject_access.find_person(installation, scene.tenant_id, str(newest[0]))
        count = subject_access.count_events(installation, person)
        if count > _EXPORTED_AT_MOST:
            return Found(passed=True, evidence=f"{person.ref} was found, with {count:,} events to give.")
        document = b"".join(subject_access.export_person(installation, person, "json"))
    except AuditError as error:
        return Found(passed=False, evidence=f"What is kept about {newest[0]} cannot be given: {error}")
    complete = document.rstrip().endswith(b'"complete":true}')
    return Found(
        complete,
        f"What is kept about {person.ref}, the newest person, was put together for this check and thrown away: "
        f"{count:,} events, {len(document):,} bytes{'' if complete else ', and it was cut off'}.",
    )


def _erasures(scene: Scene) -> Found:
    rows = scene.ask_all("select_erasures")
    keys = {str(key) for key in scene.installation.verifier_keys}
    faults = []
    for ref, erased_at, certificate, is_there in rows:
        if is_there:
            faults.append(f"the key of {ref} is there again, though it was erased")
        if certificate is None:
            if scene.now - erased_at > _CERTIFIED_WITHIN:
                faults.append(f"{ref} was erased on {erased_at:%Y-%m-%d} and no certificate says what became of copies")
            continue
        try:
            proven = verify_certificate(certificate.encode())
        except (RefusedError, ValueError) as error:
            faults.append(f"the certificate of {ref} does not hold: {error}")
        else:
            if not any(key in proven[0] for key in keys):
                faults.append(f"the certificate of {ref} is signed by a key that is not of this installation")
    return found(faults, f"{len(rows):,} erasures looked at: keys destroyed, and each certificate's signature checked.")


def _holds(scene: Scene) -> Found:
    in_force, persons, months = scene.ask("select_broken_holds")
    faults = [
        *([f"under a legal hold, {persons} was erased"] if persons else []),
        *([f"under a legal hold, these months were deleted: {months}"] if months else []),
    ]
    return found(
        faults, f"{in_force:,} legal holds are in force; erasures and deletions were compared with all of them."
    )


def _processing(scene: Scene) -> Found:
    settings = scene.installation.settings
    faults = [] if settings.audit_controller else ["AUDIT_CONTROLLER is not set: nobody is named as responsible"]
    return found(
        faults,
        f"The record names as purpose: {settings.audit_processing_purpose}; recipients: "
        f"{', '.join(settings.audit_processing_recipients) or 'none'}.",
    )


CONTROLS: Final = (
    ControlDefinition(
        "signatures_bound",
        "Electronic signatures bound to their records",
        "each signature, its record hashed anew, and the entry of the ledger that holds it",
        _signatures,
    ),
    ControlDefinition(
        "reviews_signed",
        "Daily review of audit logs",
        "the days of the last 90 whose signature was due",
        _reviews,
        for_people=True,
    ),
    ControlDefinition(
        "reviews_made",
        "Days are put together for review",
        "days that are over, and their records",
        _review_records,
    ),
    ControlDefinition(
        "events_scored",
        "Events are watched for anomalies",
        "the lineage of scores, and events older than three hours that it does not reach",
        _detection,
    ),
    ControlDefinition(
        "models_traceable",
        "Findings can be traced to their model",
        "each registered model's file against its digest, and the models that anomalies name",
        _models,
    ),
    ControlDefinition(
        "addresses_sealed",
        "Addresses sealed",
        "every stored address of events and accesses",
        _addresses_sealed,
    ),
    ControlDefinition(
        "persons_sealed",
        "Persons sealed under keys of their own",
        "every row of the vault, and the newest twenty opened with the master key",
        _persons_sealed,
    ),
    ControlDefinition(
        "person_answered",
        "A person's data can be given",
        "what is kept about the newest person, put together as for an answer",
        _person_answered,
    ),
    ControlDefinition(
        "erasures_certified",
        "Erasures are followed and certified",
        "each erasure: the key, the certificate, its signature",
        _erasures,
    ),
    ControlDefinition(
        "holds_kept",
        "Legal holds are kept",
        "erasures and deleted months against holds that were in force",
        _holds,
    ),
    ControlDefinition(
        "processing_recorded",
        "Processing is on record",
        "whether the record of processing names who is responsible",
        _processing,
        for_people=True,
    ),
)
