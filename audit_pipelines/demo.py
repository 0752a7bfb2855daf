"""`demo`: the main job, once, over a home of its own.

A generated company's week goes in over HTTP, Dagster makes everything out of it, and what came out is checked and
compared with the truth, which the pipeline never sees. It uses the same parts as `up`; only the events are made up.
"""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import duckdb
import httpx
import msgspec
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.db.queries import query
from audit_pipelines.errors import AuditError
from audit_pipelines.files import replacing
from audit_pipelines.generator.evaluation import Evaluation, evaluate
from audit_pipelines.generator.generate import Generated, generate
from audit_pipelines.generator.truth import write_truth
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.ledger import verify_evidence
from audit_pipelines.ledger.access import Access, operator
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.reports.csv_export import write_csv
from audit_pipelines.runs import StepEvent, run_here
from audit_pipelines.server.auth import mint_token
from audit_pipelines.settings import Settings
from audit_pipelines.supervise import only_one, start_service, terminate, wait_until_ready

T = TypeVar("T")

TENANT: Final = UUID("0de30000-0000-4000-8000-000000000001")
_CONTROLLER: Final = "the made-up company of this demo"
_MARKER: Final = ".audit-demo"
_BATCH: Final = 500
# These go in one by one, as an application would send them; the rest in batches, as a log shipper does.
_SINGLE: Final = 200


_QUESTIONS: Final = (
    "how many failed logins were there in the last 3 days compared with the 3 days before",
    "who exported most this week",
    "somebody switched the alarms off",
)

# The demo touches no database and no key of the user's own.
_NOT_THE_USERS: Final = (
    "database_url",
    "database_app_url",
    "dagster_postgres_url",
    "jwt_secret",
    "jwt_algorithms",
    "jwt_jwks_url",
    "jwt_audience",
    "jwt_issuer",
    "audit_encryption_key",
    "audit_former_encryption_keys",
    "audit_signing_key",
    "audit_storage_url",
)


@dataclass(frozen=True)
class Artefact:
    """One line of the closing table."""

    what: str
    path: Path
    detail: str


def run_demo(settings: Settings, console: Console, *, seed: int) -> None:
    """Run the demo and print what it made; raises unless every step did what it must.

    Raises:
        AuditError: when a step failed or its result is not what it must be.
    """
    # After `AUDIT_HOME=.audit/demo up` the settings name the demo's home itself.
    home = settings.home if (settings.home / _MARKER).exists() else settings.home / "demo"
    with only_one(home.parent, "demo"):
        _run_over(home, settings, console, seed)


def _run_over(home: Path, settings: Settings, console: Console, seed: int) -> None:
    _make_fresh(home)
    own = {"audit_home": home, "audit_controller": _CONTROLLER}
    demo_settings = settings.model_copy(update=own | dict.fromkeys(_NOT_THE_USERS))
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with _progress(console) as progress:
        story = _step(progress, "a company's week is made up", lambda: generate(seed, end))
        with open_installation(demo_settings) as installation:
            _post(installation, story.events, progress)
            _materialise(installation, progress)
            verification = _step(progress, "every hash, link and signature is recomputed", installation.verify)
            # Who made the reports stands in the ledger as well.
            expected = len(story.events) + _accesses(installation)
            if [(item.intact, item.events) for item in verification] != [(True, expected)]:
                raise AuditError(f"expected {expected} intact events, got {verification}")
            verdict = _judge(demo_settings, story)
            answers = _ask(installation, progress)
            artefacts = _artefacts(installation, story)
    console.print(_verdict_table(verdict))
    console.print(_answer_table(answers))
    console.print(_artefact_table(artefacts, home))
    _print_next(console, home)


def _make_fresh(home: Path) -> None:
    if home.exists():
        if not (home / _MARKER).exists():
            raise AuditError(f"{home} exists and was not made by the demo; expected no such folder: move it away")
        with only_one(home, "up"):
            EmbeddedPostgres(home).destroy()
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / _MARKER).touch()


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = [SpinnerColumn(finished_text="✓"), TextColumn("{task.description:48}"), BarColumn(), MofNCompleteColumn()]
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield progress


def _step(progress: Progress, description: str, work: Callable[[], T]) -> T:
    task = progress.add_task(description, total=1)
    result = work()
    progress.advance(task)
    return result


def _post(installation: Installation, events: Sequence[Event], progress: Progress) -> None:
    token = mint_token(
        installation.keyring.jwt_secret,
        subject="demo",
        tenant_id=TENANT,
        permissions=["audit:read", "audit:write"],
        lifetime=timedelta(hours=1),
    )
    task = progress.add_task("events are posted over HTTP", total=len(events))
    with _server(installation) as url, httpx.Client(base_url=url, timeout=60) as client:
        client.headers.update({"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        for event in events[:_SINGLE]:
            _expect_created(client.post("/api/audit/events", content=msgspec.json.encode(event)))
            progress.advance(task)
        for start in range(_SINGLE, len(events), _BATCH):
            batch = list(events[start : start + _BATCH])
            answer = _expect_created(client.post("/api/audit/events/batch", content=msgspec.json.encode(batch)))
            if answer["accepted"] != len(batch):
                raise AuditError(f"expected {len(batch)} accepted events, got {answer}")
            progress.advance(task, len(batch))


def _materialise(installation: Installation, progress: Progress) -> None:
    task = progress.add_task("Dagster materialises every asset", total=None)

    def show(event: StepEvent) -> None:
        description = f"Dagster materialises: {event.step}" if event.state == "started" else None
        progress.update(task, completed=event.done, total=event.total, description=description)

    run_here(installation, "full_refresh_job", on_event=show)
    progress.update(task, description="Dagster materialises every asset")


@contextmanager
def _server(installation: Installation) -> Iterator[str]:
    home = installation.settings.home
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = home / "logs" / "api.log"
    command = (sys.executable, "-m", "audit_pipelines", "serve", "--port", str(port))
    # In the home's folder no `.env` of the user's own is read, and an empty variable is none.
    environment = {"AUDIT_HOME": str(home), **{name.upper(): "" for name in _NOT_THE_USERS}}
    process = start_service(command, environment, log, cwd=home)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/health", process, log)
        yield url
    finally:
        terminate({"api": process})


def _expect_created(response: httpx.Response) -> dict[str, int]:
    if response.status_code != 201:
        raise AuditError(f"expected 201 from {response.url}, got {response.status_code}: {response.text[:500]}")
    return dict(response.json())


def _ask(installation: Installation, progress: Progress) -> list[tuple[str, str]]:
    """Ask the running server, as an analyst would, and return each question with its answer."""
    token = mint_token(
        installation.keyring.jwt_secret,
        subject="demo",
        tenant_id=TENANT,
        # Who may see persons' data sees names where others see references.
        permissions=["audit:read", "audit:privacy"],
        lifetime=timedelta(hours=1),
    )
    task = progress.add_task("the trail is asked in plain English", total=len(_QUESTIONS))
    answers = []
    with _server(installation) as url, httpx.Client(base_url=url, timeout=60) as client:
        client.headers.update({"Authorization": f"Bearer {token}"})
        for question in _QUESTIONS:
            response = client.post("/api/audit/search", json={"query": question, "limit": 3})
            if response.status_code != 200:
                raise AuditError(f"expected 200 from {response.url}, got {response.status_code}: {response.text[:500]}")
            answers.append((question, str(response.json()["answer"]["text"])))
            progress.advance(task)
    return answers


def _accesses(installation: Installation) -> int:
    with installation.database.connection("audit_pipeline") as conn:
        row = conn.execute(query("controls/count_accesses"), {"tenant_id": TENANT}).fetchone()
    return int(row[0]) if row else 0


def _judge(settings: Settings, story: Generated) -> Evaluation:
    """Compare what the pipeline scored with the truth, read as an analyst would: out of the DuckDB catalog."""
    with duckdb.connect(str(settings.catalog_path), read_only=True) as catalog:
        scored = catalog.execute("select event_id, score from event_scores").fetchall()
    return evaluate(story.truth, scored, settings.audit_anomaly_threshold, budgets=(20, 100))


def _artefacts(installation: Installation, story: Generated) -> list[Artefact]:
    settings = installation.settings
    with duckdb.connect(str(settings.catalog_path), read_only=True) as catalog:
        events = catalog.sql("select * from raw_events order by seq").pl()
        views = catalog.execute("select count(*) from duckdb_views() where not internal").fetchall()[0][0]
        worst = catalog.execute("select event_id, severity from anomalies order by score desc, seq limit 1").fetchone()
    if worst is None:
        raise AuditError("expected anomalies in the demo's week, found none")
    exports = settings.storage_dir / "exports"
    csv_path = exports / "events.csv"
    _record(installation, "export.csv", {}, len(events))
    csv = write_csv([events], csv_path)
    evidence_path, key_path = exports / "evidence.json", exports / "verifier.key"
    _write_evidence(installation, worst[0], evidence_path, key_path)
    truth_path = settings.home / "truth.ndjson"
    write_truth(truth_path, story.truth)
    models = list((settings.storage_dir / "ml_models").rglob("*.npz"))
    rows = len(story.events) + _accesses(installation)
    return [
        Artefact(
            "Ledger (Postgres)",
            settings.home / "postgres",
            f"{rows:,} hash-chained rows",
        ),
        Artefact("Checkpoints", settings.anchors_dir, "signed, outside Postgres"),
        Artefact("Lake (Parquet)", settings.lake_dir, f"{len(events):,} events"),
        Artefact("DuckDB catalog", settings.catalog_path, f"{views} views"),
        Artefact("Models", settings.storage_dir / "ml_models", f"{len(models)} artefacts"),
        *(
            Artefact(f"{path.stem.replace('_', ' ').capitalize()} (PDF)", path, _size(path))
            for path in _short_names(exports)
        ),
        Artefact("Events (CSV)", csv_path, f"{csv.rows:,} rows"),
        Artefact("Evidence of an anomaly", evidence_path, f"{worst[1]}; proven offline"),
        Artefact("Record of the run", settings.home / "dagster", "seen in Dagster with `up`"),
        Artefact("The truth", truth_path, f"{len(story.truth):,} labels, kept apart"),
    ]


def _record(installation: Installation, action: str, asked: dict[str, list[str]], count: int) -> None:
    installation.access_log.record(TENANT, Access(actor=operator(), action=action, filters=asked, result_count=count))


def _write_evidence(installation: Installation, event_id: str, path: Path, key_path: Path) -> None:
    """Write evidence and check it as a stranger would: another process, the standard library alone."""
    key = installation.verifier_keys[0]
    content = evidence_for(installation.database, TENANT, [event_id], key)
    _record(installation, "evidence.make", {"event_ids": [event_id]}, 1)
    for target, data in ((path, content), (key_path, f"{key}\n".encode())):
        with replacing(target) as staging:
            staging.write_bytes(data)
    command = [sys.executable, "-I", "-S", str(verify_evidence.__file__), str(path), "--key", str(key)]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    if check.returncode != 0:
        raise AuditError(f"expected evidence that proves its event, got: {check.stdout}{check.stderr}")


def _verdict_table(verdict: Evaluation) -> Table:
    table = Table(
        title=f"{verdict.incidents_found} of {verdict.incidents} incidents found with {verdict.alerts} alerts on "
        f"{verdict.events:,} events\n{verdict.false_alerts} alerts are on innocent events; average precision "
        f"{verdict.average_precision:.2f}",
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in verdict.header():
        table.add_column(heading, no_wrap=True, justify="left" if heading == "attack" else "right")
    for row in verdict.rows():
        table.add_row(*row)
    return table


def _answer_table(answers: Sequence[tuple[str, str]]) -> Table:
    table = Table(
        title="Asked of the trail", title_style="bold", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("question", ratio=2)
    table.add_column("answer; \\[n] are its sources", ratio=3)
    for question, answer in answers:
        table.add_row(Text(question), Text(answer))
        table.add_row("", "")
    return table


def _artefact_table(artefacts: Sequence[Artefact], home: Path) -> Table:
    table = Table(
        title=f"Made in {_relative(home)}",
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("what", no_wrap=True)
    table.add_column("where", no_wrap=True)
    table.add_column("detail")
    for item in artefacts:
        if not item.path.exists():
            raise AuditError(f"expected {item.path} to exist: {item.what}")
        table.add_row(item.what, str(item.path.relative_to(home)), item.detail)
    return table


def _print_next(console: Console, home: Path) -> None:
    prefix = f"AUDIT_HOME={_relative(home)} {_relative(Path(sys.prefix))}/bin/audit-pipelines"
    console.print("\nWhat to try next:", highlight=False)
    for purpose, command in (
        ("look at the graph and its runs", f"{prefix} up"),
        ("recompute every hash", f"{prefix} verify"),
        ("check the evidence", f"{prefix} verify-evidence {_relative(home)}/storage/exports/evidence.json"),
        ("bring in your own CloudTrail", f"{prefix} import cloudtrail FOLDER --tenant {TENANT}"),
    ):
        console.print(f"  {purpose:32} {command}", highlight=False, markup=False, soft_wrap=True)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _short_names(exports: Path) -> list[Path]:
    """Link each report under a name that fits a terminal; its own name holds the tenant and the period."""
    links = []
    for report in sorted(exports.glob("*/*.pdf")):
        link = exports / f"{report.stem.partition('-')[0]}.pdf"
        link.symlink_to(report.relative_to(exports))
        links.append(link)
    return links


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1024:,.0f} KiB"
