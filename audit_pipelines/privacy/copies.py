"""Where copies of a person's events lie after their key is gone, found through the lineage and the catalogues.

`plan` lists them and changes nothing; what is done with each is decided in `purge`. A copy is anything made of an event
in which the person acted or was acted upon: files of the lake, texts, models, anomalies, reports, archives, exports.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from audit_pipelines.db.database import Connection
from audit_pipelines.db.queries import query
from audit_pipelines.derive import lineage
from audit_pipelines.derive.report_schedules import schedules_of
from audit_pipelines.errors import AuditError
from audit_pipelines.installation import Installation
from audit_pipelines.lake.datasets import Dataset, Lake
from audit_pipelines.lake.redaction import parts_about
from audit_pipelines.ledger import sealing
from audit_pipelines.ledger.archives import ArchiveFolder
from audit_pipelines.ledger.entry import names_of
from audit_pipelines.ledger.erasure import FoundCopy
from audit_pipelines.notify.destinations import mailboxes_of
from audit_pipelines.privacy import archived
from audit_pipelines.privacy.search import Needles
from audit_pipelines.settings import Settings

VAULT: Final = "vault"
FILE: Final = "file"
UNNAMED: Final = "a file whose path names the person, with SHA-256"
NAMING: Final = ("access_review", "person_report")
"""Reports that name people; their lineage says whom."""
REPORTS: Final = ("security_report", "compliance_report", *NAMING)
_PER_EVENT: Final[tuple[Dataset, ...]] = ("event_features", "actor_features", "event_scores", "event_tags")
# What the ledger's own guarantees rest on, what is searched by its columns instead, and another installation's home.
_NOT_SEARCHED: Final = frozenset({"postgres", "keys", "anchors", "lake", "ml_models", "embedders", "archives", "demo"})


class NotHereError(AuditError):
    """This process does not see the files that the lineage names, so it cannot say what became of them."""


@dataclass(frozen=True)
class Case:
    """One erasure: whose, and the event in the ledger that says so."""

    installation: Installation
    tenant_id: UUID
    ref: UUID
    erased_at: datetime
    seq: int
    row_hash: str
    run_id: str

    @property
    def lake(self) -> Lake:
        """The installation's lake."""
        return Lake(self.installation.settings.lake_dir)

    @property
    def because(self) -> dict[str, object]:
        """The input by which a lineage names this erasure."""
        return {"kind": "audit_erasure", "seq": self.seq, "digest": self.row_hash}

    @cached_property
    def events(self) -> list[tuple[int, datetime]]:
        """`seq` and `occurred_at` of the person's events in database and archive, in the order of `seq`."""
        named = {"tenant_id": self.tenant_id, "actor_ref": self.ref}
        with self.installation.database.connection("audit_pipeline") as conn:
            # No month changes places meanwhile, from the database to the archive.
            conn.execute(query("ledger/lock_partitions"))
            stored = conn.execute(query("privacy/select_person_events"), named).fetchall()
            return sorted([*stored, *self._archived(conn)])

    def _archived(self, conn: Connection) -> Iterator[tuple[int, datetime]]:
        folder = ArchiveFolder(self.installation.database.archives_dir)
        return archived.events_of(folder, archived.readable_months(conn, self.tenant_id), self.ref)

    @cached_property
    def deleted_months(self) -> list[str]:
        """Months whose archive was deleted by approval, with whatever they held of the person."""
        with self.installation.database.connection("audit_pipeline") as conn:
            return [one.month for one in archived.deleted_months(conn, self.tenant_id)]

    @cached_property
    def seqs(self) -> list[int]:
        """The `seq`s of the person's events, ascending."""
        return [seq for seq, _ in self.events]

    @cached_property
    def moments(self) -> list[datetime]:
        """When the person's events happened, ascending."""
        return sorted(moment for _, moment in self.events)

    @cached_property
    def outputs(self) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
        """The inputs of each derived artefact of the tenant, by kind and key, by its newest record."""
        with self.installation.database.connection("audit_pipeline") as conn:
            rows = conn.execute(query("privacy/select_outputs"), {"tenant_id": self.tenant_id}).fetchall()
        return {(kind, key): inputs for kind, key, inputs in rows}

    def path(self, kind: str, key: str) -> Path:
        """Return the file that a copy is."""
        settings = self.installation.settings
        return (settings.storage_dir if kind in {*REPORTS, "archived_segments"} else settings.home) / key


def plan(case: Case) -> list[FoundCopy]:
    """Return the copies there are now; called again later, it returns what has come meanwhile as well.

    Raises:
        NotHereError: when the lineage names files of the lake and this machine has no lake.
    """
    affected = _by_lineage(case)
    if _has_signed(case):
        # Reports print who signed their events and reviews, also where no event of the signer is in their period.
        affected |= {name for name in case.outputs if name[0] in REPORTS}
    affected |= {name for name, inputs in case.outputs.items() if name[0] in NAMING and _names(case, inputs)}
    if any(kind == "raw_events" for kind, _ in affected) and not case.lake.root.is_dir():
        raise NotHereError(
            "expected the lake that the lineage names, found none here: finish this erasure where the pipeline runs"
        )
    found = [FoundCopy(VAULT, "audit_subjects", None)]
    home = case.installation.settings.home
    parts = parts_about(case.lake, case.tenant_id, case.ref)
    found += [_file("raw_events", part.path, home) for part in parts]
    touched = bool(parts) or any(kind in {"raw_events", *_PER_EVENT} for kind, _ in affected)
    if touched:
        paths = ((dataset, case.lake.dataset_path(dataset, case.tenant_id)) for dataset in _PER_EVENT)
        found += [_file(dataset, path, home) for dataset, path in paths if path.exists()]
    found += [*_texts(case), *_models(case), *_anomalies(case, touched=touched)]
    found += [
        FoundCopy(kind, key, lineage.file_digest(path))
        for kind, key in sorted(affected)
        if kind in {*REPORTS, "archived_segments"} and (path := case.path(kind, key)).exists()
    ]
    # A reference in a log says nothing about anybody; in an export it stands beside what somebody did.
    storage = case.installation.settings.storage_dir
    return found + _files_naming(case.installation, Needles([str(case.ref)]), [storage], reports=case.outputs)


def copies_naming(installation: Installation, tenant_id: UUID, ref: UUID, identity: str) -> list[FoundCopy]:
    """Return what names a person in clear, files of the home, recipients and mailboxes, and their account.

    Asked while the name is known.
    """
    with installation.database.connection("audit_pipeline") as conn:
        rows = conn.execute(query("privacy/select_outputs"), {"tenant_id": tenant_id}).fetchall()
    settings = installation.settings
    needles = Needles({*names_of(identity), *_printed_names(installation, tenant_id, ref)})
    roots = [settings.home, settings.storage_dir]
    files = _files_naming(installation, needles, roots, reports={(kind, key) for kind, key, _ in rows})
    files = [_nameless(settings, needles, copy) for copy in files]
    with installation.database.tenant_connection(tenant_id) as conn:
        asked = {"tenant_id": tenant_id, "actor_ref": ref}
        found = set(conn.execute(query("privacy/select_accounts"), asked).fetchall())
    schedules = schedules_of(installation, tenant_id, identity, ref)
    found |= {("scheduled_report", str(one["report_id"])) for one in schedules}
    mailboxes = mailboxes_of(installation, tenant_id, identity)
    found |= {("alert_destination", str(one["integration_id"])) for one in mailboxes}
    return files + [FoundCopy(kind, key, None) for kind, key in sorted(found)]


def _printed_names(installation: Installation, tenant_id: UUID, ref: UUID) -> Iterator[str]:
    """Yield what the person is called on what they sign, if they have an account: their login may be another name."""
    with installation.database.tenant_connection(tenant_id) as conn:
        row = conn.execute(query("privacy/select_printed_name"), {"user_id": ref}).fetchone()
        if row and (key := installation.vault.living_keys(conn, [ref]).get(ref)):
            yield from names_of(sealing.unseal(key, row[0]))


def _files_naming(
    installation: Installation, needles: Needles, roots: Iterable[Path], *, reports: Iterable[tuple[str, str]]
) -> list[FoundCopy]:
    """Return the files below `roots` that hold a needle; reports with a lineage are found by that."""
    settings = installation.settings
    known = {settings.storage_dir / key for kind, key in reports if kind in REPORTS}
    paths = sorted({path for root in roots for path in _searched(root)} - known)
    return [
        _file(FILE, path, settings.home)
        for path in paths
        if _path_names(settings, needles, path) or needles.in_file(path)
    ]


def _nameless(settings: Settings, needles: Needles, copy: FoundCopy) -> FoundCopy:
    """Return the copy under a key that does not name the person: a file of the storage is renamed for it."""
    path = settings.home / copy.key
    if not _path_names(settings, needles, path):
        return copy
    digest = copy.digest or b""
    if not path.is_relative_to(settings.storage_dir):
        return FoundCopy(FILE, f"{UNNAMED} {digest.hex()}", digest)
    neutral = settings.storage_dir / "exports" / f"renamed-{digest.hex()[:16]}{path.suffix}"
    neutral.parent.mkdir(parents=True, exist_ok=True)
    return _file(FILE, path.replace(neutral), settings.home)


def _path_names(settings: Settings, needles: Needles, path: Path) -> bool:
    """Return whether the path within the home or the storage holds a needle; where those lie is nobody's doing here."""
    root = settings.storage_dir if path.is_relative_to(settings.storage_dir) else settings.home
    return needles.in_bytes(str(path.relative_to(root)).encode(errors="replace"))


def _searched(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        inner = path.relative_to(root).parts
        if path.is_file() and not path.is_symlink() and _NOT_SEARCHED.isdisjoint(inner) and path.suffix != ".duckdb":
            yield path


def _file(kind: str, path: Path, home: Path) -> FoundCopy:
    key = str(path.relative_to(home)) if path.is_relative_to(home) else str(path)
    return FoundCopy(kind, key, lineage.file_digest(path))


def _has_signed(case: Case) -> bool:
    named = {"tenant_id": case.tenant_id, "actor_ref": case.ref}
    with case.installation.database.tenant_connection(case.tenant_id) as conn:
        return conn.execute(query("privacy/select_person_signatures"), named).fetchone() is not None


def _by_lineage(case: Case) -> set[tuple[str, str]]:
    """Return kind and key of what was made of the person's events, and of what was made of that, and so on."""
    affected = {name for name, inputs in case.outputs.items() if _reads(case, inputs)}
    while more := {
        name
        for name, inputs in case.outputs.items()
        if name not in affected and any((each.get("kind"), each.get("key")) in affected for each in inputs)
    }:
        affected |= more
    return {name for name in affected if name[0] not in REPORTS or _in_period(case, case.outputs[name])}


def _names(case: Case, inputs: Iterable[dict[str, Any]]) -> bool:
    return any(str(case.ref) in each["refs"] for each in inputs if each.get("kind") == "persons")


def _reads(case: Case, inputs: Iterable[dict[str, Any]]) -> bool:
    ranges = [each for each in inputs if each.get("kind") in {"audit_logs", "training_set"}]
    return any(_has(case.seqs, each.get("first_seq"), each.get("last_seq")) for each in ranges)


def _has(seqs: list[int], first: int | None, last: int | None) -> bool:
    place = bisect_left(seqs, first or 0)
    return place < len(seqs) and (last is None or seqs[place] <= last)


def _in_period(case: Case, inputs: Iterable[dict[str, Any]]) -> bool:
    for each in inputs:
        if each.get("kind") == "period":
            place = bisect_left(case.moments, datetime.fromisoformat(each["since"]))
            return place < len(case.moments) and case.moments[place] < datetime.fromisoformat(each["until"])
    return True


def _texts(case: Case) -> Iterator[FoundCopy]:
    with case.installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(
            query("privacy/count_event_texts"), {"tenant_id": case.tenant_id, "seqs": case.seqs}
        ).fetchone()
    if row and row[0]:
        yield FoundCopy("event_embeddings", "audit_event_texts", row[1])


def _models(case: Case) -> Iterator[FoundCopy]:
    if case.seqs:
        with case.installation.database.connection("audit_pipeline") as conn:
            for model_id, _, digest, _, _ in conn.execute(query("privacy/select_models_trained_on"), bounds(case)):
                yield FoundCopy("model", model_id, bytes.fromhex(digest))


def _anomalies(case: Case, *, touched: bool) -> Iterator[FoundCopy]:
    named = {"tenant_id": case.tenant_id, "actor_ref": case.ref}
    with case.installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("privacy/count_anomalies"), named).fetchone()
    if row and (row[0] or touched):
        yield FoundCopy("anomalies", "audit_anomalies", row[1])
    home = case.installation.settings.home
    copied = case.lake.dataset_path("anomalies", case.tenant_id)
    catalog = case.installation.settings.catalog_path
    if touched and copied.exists():
        yield _file("lake_copy", copied, home)
    if touched and catalog.exists():
        yield _file("analyst_catalog", catalog, home)


def bounds(case: Case) -> dict[str, Any]:
    """Return the person's events as a query of models wants them; there must be some."""
    return {
        "tenant_id": case.tenant_id,
        "actor_ref": case.ref,
        "seqs": case.seqs,
        "first_seq": case.seqs[0],
        "last_seq": case.seqs[-1],
    }
