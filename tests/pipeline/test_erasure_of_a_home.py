"""After an erasure nothing in a home names the person: a real server, a materialised pipeline, a kill halfway.

What is searched is what is there, as in `test_leaks`, whose reading of files and tables this shares; the product's own
search is not used here, so that neither vouches for the other.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import polars as pl
import psycopg
import pytest
from test_leaks import texts_of_database, texts_of_file

from audit_pipelines.db.database import DAGSTER_DATABASE, EMBEDDED_DATABASE
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.derive.archiving import archive_segments
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.keyring import open_keyring
from audit_pipelines.lake.datasets import Lake
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger import verify_certificate, verify_evidence
from audit_pipelines.ledger.disclosure import Discloser
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.privacy import subject_access
from audit_pipelines.runs import run_here
from audit_pipelines.server.auth import mint_token
from audit_pipelines.settings import Settings
from audit_pipelines.supervise import start_service, terminate, wait_until_ready

TENANT = UUID("e4a5ed00-0000-4000-8000-000000000001")
LOGIN = "zoe.quistmark@halden.example"
NAME = "Zoë Quistmark"
ADDRESS = "198.18.99.213"
MAIL = "zoe@quistmark.example"
WORDS = (LOGIN, "zoe.quistmark", NAME, ADDRESS, MAIL, "Quistmark")
ERASE = "/api/audit/gdpr-erase"


def spellings() -> Iterator[bytes]:
    """Yield every form a word may have in bytes, in lower case where case does not carry the meaning."""
    for word in WORDS:
        low = word.lower()
        yield from (low.encode(), quote(low).lower().encode(), json.dumps(low)[1:-1].lower().encode())
        yield from (low.encode("utf-16-le"), low.encode("utf-16-be"), low.encode("utf-32-le"))
        yield low.encode("latin-1")


def base64_spellings() -> set[bytes]:
    found = set()
    for word in WORDS:
        for text in (word, word.lower()):
            for shift in range(3):
                coded = base64.b64encode(b"\0" * shift + text.encode())
                found.add(coded[4 if shift else 0 : len(coded) - 4])
    return {one for one in found if len(one) >= 8}


LOW = sorted(set(spellings()))
CODED = sorted(base64_spellings())


def named_in(content: bytes) -> list[bytes]:
    low = content.lower()
    return [one for one in LOW if one in low] + [one for one in CODED if one in content]


def of_the_person(number: int, at: datetime) -> Event:
    return Event(
        event_type="scm:repo.clone" if number % 3 else "iam:quist.special",
        entity_type="user" if number % 5 == 0 else "folder",
        entity_id=LOGIN if number % 5 == 0 else "home/zoe.quistmark",
        actor=LOGIN,
        ip_address=ADDRESS,
        user_agent="sync of zoe.quistmark",
        details={"email": MAIL, "who": NAME, "path": f"/home/zoe.quistmark/{number}", "n": number},
        sealed_fields=("/who",),
        occurred_at=at + timedelta(minutes=7 * number),
        event_id=f"z-{number}",
    )


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    environment = dict(os.environ)
    home = tmp_path / "home"
    open_keyring(Settings(_env_file=None, audit_home=home))
    # Everything here joins this server, which spares each refresh the disk's time for 1,000 small commits.
    server = EmbeddedPostgres(home, durable=False)
    server.start()
    yield home
    server.destroy()
    # Running a job tells Dagster its place by way of the environment.
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def living(home: Path, lend_embedder: Callable[[Settings], None]) -> Iterator[Installation]:
    """A materialised home with a person in it, and everything made of them that the product makes."""
    settings = Settings(_env_file=None, audit_home=home)
    lend_embedder(settings)
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    story = generate(3, begin, days=4, people=24, services=8).events[:500]
    with open_installation(settings) as installation:
        installation.ledger.append(TENANT, [*story, *(of_the_person(number, begin) for number in range(40))])
        installation.ledger.append(UUID(int=9), story[:50])
        installation.seal(TENANT)
        assert run_here(installation, "full_refresh_job")
        export(installation)
        yield installation


def export(installation: Installation) -> None:
    """Put into the home what people have put there: archives, evidence that shows values, and exports with names."""
    exports = installation.settings.storage_dir / "exports"
    later = datetime.now(UTC) + timedelta(days=installation.settings.audit_retention_days + 60)
    assert archive_segments(installation, run_id="test", now=later)
    discloser = Discloser(installation.database, installation.vault, ["/ip_address", "/details/who"])
    (exports / "evidence.json").write_bytes(
        evidence_for(installation.database, TENANT, ["z-1", "z-2"], *installation.verifier_keys, discloser=discloser)
    )
    person = subject_access.find_person(installation, TENANT, LOGIN)
    for form in ("json", "pdf", "zip"):
        path = exports / f"asked.{form}"
        path.write_bytes(b"".join(subject_access.export_person(installation, person, form)))  # type: ignore[arg-type]
    (exports / "events.csv").write_text(f"seq,actor_ref\n1,{person.ref}\n")
    (exports / "of zoe.quistmark@halden.example.txt").write_text("nothing in it")
    (exports / "innocent.csv").write_text("seq,actor\n1,somebody else\n")
    logs = installation.settings.home / "logs"
    logs.mkdir(exist_ok=True)
    (logs / "odd.log").write_text(f"somebody wrote {LOGIN} here\n")


@contextmanager
def serving(home: Path, installation: Installation) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = home / "logs" / "api.log"
    command = (sys.executable, "-m", "audit_pipelines", "serve", "--port", str(port))
    process = start_service(command, {"AUDIT_HOME": str(home), "DATABASE_URL": ""}, log, cwd=home)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/health", process, log)
        secret = installation.keyring.jwt_secret
        given = {"subject": "officer", "tenant_id": TENANT, "permissions": ["audit:privacy", "audit:write"]}
        token = mint_token(secret, lifetime=timedelta(hours=1), **given)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client:
            yield client
    finally:
        terminate({"api": process})


def killed_midway(home: Path, admin: psycopg.Connection[Any]) -> None:
    """Let the command begin the erasure, and kill it when it has followed some copies and others are left."""
    command = [sys.executable, "-m", "audit_pipelines", "erase", "--tenant", str(TENANT), "--person", LOGIN, "--yes"]
    environment = {**os.environ, "AUDIT_HOME": str(home), "DATABASE_URL": ""}
    process = subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    state = "select count(*) filter (where done_at is not null), count(*) from audit_erasure_copies"
    done, known = 0, 0
    while not 2 <= done < known:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        row = admin.execute(state).fetchone()
        assert row
        done, known = row
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert admin.execute("select certificate from audit_erasures").fetchone() == (None,)


def places(home: Path, installation: Installation) -> Iterator[tuple[str, str]]:
    files = [path for path in home.rglob("*") if path.is_file() and "embedders" not in path.parts]
    for path in [*files, *(home / "postgres").resolve().glob("*.log")]:
        yield str(path), path.read_bytes().decode("latin-1")
        yield from texts_of_file(path)
    with (
        installation.database.connect_admin() as audit,
        installation.database.connect_admin(dbname=DAGSTER_DATABASE) as dagster,
    ):
        yield from texts_of_database(audit, EMBEDDED_DATABASE)
        yield from texts_of_database(dagster, DAGSTER_DATABASE)


def leaks(home: Path, installation: Installation) -> set[tuple[str, bytes]]:
    return {
        (place, word)
        for place, text in places(home, installation)
        for word in named_in(text.encode("latin-1", "replace")) + named_in(text.encode(errors="replace"))
    }


def test_after_an_erasure_nothing_in_the_home_names_the_person(home: Path, living: Installation) -> None:
    ref = str(living.vault.find(TENANT, LOGIN))
    key = str(living.verifier_keys[0])
    evidence = evidence_for(living.database, TENANT, ["z-1", "z-3"], *living.verifier_keys)
    with living.database.connect_admin() as admin:
        assert all(
            address.startswith("v1.")
            for (address,) in admin.execute("select ip_address from audit_logs where ip_address is not null")
        )
        secrets = admin.execute("select sealed_identity, wrapped_key from audit_subjects where actor_ref = %s", [ref])
        [(sealed_identity, wrapped_key)] = secrets.fetchall()
        found = {Path(place).name for place, _ in leaks(home, living)}
        assert found == {"evidence.json", "asked.json", "asked.pdf", "asked.zip", "odd.log"}
        killed_midway(home, admin)
        with serving(home, living) as client:
            first = client.post(ERASE, json={"user_id": LOGIN})
            while first.status_code == 202:
                time.sleep(float(first.headers["Retry-After"]))
                first = client.post(ERASE, json={"user_id": LOGIN})
            again = client.post(ERASE, json={"user_id": ref})
            posted = client.post(
                "/api/audit/events", json={"event_type": "a.b", "entity_type": "user", "entity_id": "x", "actor": "y"}
            )
        assert (first.status_code, first.json()["state"], posted.status_code) == (200, "already_erased", 201)
        assert again.json() == first.json()
        admin.execute("checkpoint")

    assert verify_certificate.verify_certificate(first.content, key)
    copies = {(copy["kind"], copy["key"]): copy for copy in first.json()["certificate"]["statement"]["copies"]}
    kinds = {kind for kind, _ in copies}
    assert kinds >= {"vault", "raw_events", "event_features", "actor_features", "event_embeddings", "model", "file"}
    assert kinds >= {"event_scores", "event_tags", "anomalies", "analyst_catalog", "security_report"}
    assert kinds >= {"compliance_report", "archived_segments"}
    assert all(copy["action"] in {"rebuilt", "purged", "kept"} for copy in copies.values())
    assert copies["file", "storage/exports/evidence.json"]["action"] == "rebuilt"
    assert copies["file", "storage/exports/asked.zip"]["action"] == "purged"
    assert copies["file", "logs/odd.log"]["action"] == "purged"

    assert leaks(home, living) == set()
    assert [one.findings for one in living.verify() if one.findings] == []
    assert verify_evidence.verify(evidence, key)
    exports = living.settings.storage_dir / "exports"
    assert verify_evidence.verify((exports / "evidence.json").read_bytes(), key)
    assert (exports / "innocent.csv").exists()
    assert not (exports / "events.csv").exists()
    assert not [path for path in home.rglob("*") if "quistmark" in str(path.relative_to(home)).lower()]
    cluster = (home / "postgres").resolve()
    heap = [path for path in (cluster / "base").rglob("*") if path.is_file()]
    assert len(heap) > 500
    for path in heap:
        page = path.read_bytes()
        assert sealed_identity.encode() not in page, path
        assert wrapped_key not in page, path
    the_lake_is_what_the_ledger_gives(living, ref)
    assert run_here(living, "full_refresh_job")
    assert leaks(home, living) == set()
    the_lake_is_what_the_ledger_gives(living, ref)


def the_lake_is_what_the_ledger_gives(installation: Installation, ref: str) -> None:
    """Check that no dataset has the reference, and that a day exported anew equals the rewritten one."""
    lake = Lake(installation.settings.lake_dir)
    for path in lake.root.rglob("*.parquet"):
        frame = pl.read_parquet(path, hive_partitioning=False)
        texts = [name for name, kind in frame.schema.items() if kind == pl.String]
        rows = frame.filter(pl.any_horizontal(pl.col(name).str.contains(ref, literal=True) for name in texts))
        own = "entity_id" in frame.columns and rows["event_type"].to_list() == ["audit.subject.erased"]
        assert rows.is_empty() or own, path
    rewritten = lake.events(TENANT)
    days = [part.day for part in lake.parts(TENANT)]
    for part in lake.parts(TENANT):
        part.path.unlink()
    export_window(installation, min(days), max(days) + timedelta(days=1), run_id="anew")
    anew = lake.events(TENANT)
    assert anew.head(rewritten.height).equals(rewritten)
    assert rewritten.filter(pl.col("entity_id") == "erased").height > 0
