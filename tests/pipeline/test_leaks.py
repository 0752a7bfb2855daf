"""No artefact names anybody: the real server, the real pipeline, then a search through all that either wrote.

Names, logins and addresses are those of the generated company. What is searched is what is there, not what is known to
be there: every table of both databases, every file of the home, decompressed, whatever its kind.
"""

import gzip
import io
import ipaddress
import os
import re
import socket
import sqlite3
import sys
import zipfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import httpx
import msgspec
import polars as pl
import psycopg
import pytest
from psycopg import sql

from audit_pipelines.db.database import DAGSTER_DATABASE, EMBEDDED_DATABASE
from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.derive.archiving import archive_segments
from audit_pipelines.generator.company import Company
from audit_pipelines.generator.generate import generate
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.proof import evidence_for
from audit_pipelines.reports.csv_export import write_csv
from audit_pipelines.runs import run_here
from audit_pipelines.server.auth import mint_token
from audit_pipelines.settings import Settings
from audit_pipelines.supervise import start_service, terminate, wait_until_ready

TENANT = UUID("7ea4de7e-0000-4000-8000-000000000001")
EVENTS = "/api/audit/events"
# Of 6,282: every kind of event, person and attack, in a quarter of the time.
EVERY = 4
# Said of nobody: shows that a place was really read. In events, texts, reports, the server's log and Dagster's.
COMMON = "scm:repo.clone"
CANARIES = (COMMON, "repo clone", "by reference", "uvicorn.error", "event_embeddings")
MARKER = "malik.hart@halden.example"

Text = tuple[str, str]
"""Where it was read and what stands there, in lower case."""


class Needles:
    """What must stand nowhere: whole words, so that an address is not found in a longer number."""

    def __init__(self, company: Company, events: Sequence[Event]) -> None:
        people = {person.username for person in company.people}
        # A service's key is a thing as well as an actor, and stands in clear where others create or revoke it.
        things = {event.entity_id for event in events}
        logins = people | {event.actor for event in events if event.actor and event.actor not in things}
        names = {login.partition("@")[0] for login in logins if "@" in login}
        addresses = {event.ip_address for event in events if event.ip_address}
        spelled = {ipaddress.ip_address(address).exploded for address in addresses}
        self.words = sorted({*logins, *names, *(name.replace(".", " ") for name in names), *addresses, *spelled})
        assert len(names) >= 20
        assert len(addresses) >= 50

    def found_in(self, texts: Iterator[Text]) -> tuple[set[Text], set[str]]:
        """Return `(place, needle)` for every leak, and the places that were read and have a canary in them."""
        leaks: set[Text] = set()
        read: set[str] = set()
        for place, text in texts:
            if any(canary in text for canary in CANARIES):
                read.add(place)
            leaks |= {(place, word) for word in self.words if word in text and _is_whole(word, text)}
        return leaks, read


def _is_whole(word: str, text: str) -> bool:
    return re.search(rf"(?<![0-9a-z.:_-]){re.escape(word)}(?![0-9a-z:_-]|\.[0-9a-z])", text) is not None


# Reading whatever there is


def texts_of_database(conn: psycopg.Connection[Any], name: str) -> Iterator[Text]:
    """Yield every column of every table, bytes as text."""
    tables = conn.execute(
        "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(tables) > 10
    for schema, table in tables:
        rows = conn.execute(sql.SQL("select * from {}").format(sql.Identifier(schema, table)), binary=False).fetchall()
        yield f"{name}: {table}", _as_text(rows)


def texts_of_file(path: Path) -> Iterator[Text]:
    """Yield a file's bytes, and what is compressed or encoded in them."""
    content = path.read_bytes()
    yield from ((f"{path.name}", text) for text in _texts_of(content, path))


def _texts_of(content: bytes, path: Path) -> Iterator[str]:
    yield content.decode("latin-1").lower()
    if path.suffix == ".json":
        yield from (_as_text(b64decode(coded)) for coded in re.findall(rb'"([A-Za-z0-9+/]{40,}={0,2})"', content))
    if content.startswith(b"PAR1"):
        yield _as_text(pl.read_parquet(path, hive_partitioning=False).rows())
    elif content.startswith(b"%PDF-"):
        yield _text_of_pdf(content)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from _texts_of(archive.read(name), path)
    elif content.startswith(b"\x1f\x8b"):
        yield from _texts_of(gzip.decompress(content), path)
    elif content.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(path)) as conn:
            yield "\n".join(conn.iterdump()).lower()
    elif content[8:12] == b"DUCK":
        with duckdb.connect(str(path), read_only=True) as catalog:
            for (name,) in catalog.execute(
                "select table_name from information_schema.tables where table_schema = 'main'"
            ).fetchall():
                yield name + _as_text(catalog.table(name).fetchall())


def _text_of_pdf(content: bytes) -> str:
    """Return the strings that a PDF draws; the reports' fonts keep ASCII as it is."""
    drawn = []
    for filtered, stream in re.findall(rb"<<((?:(?!stream).)*?)>>\s*stream\r?\n(.*?)endstream", content, re.DOTALL):
        # What is not compressed, the metadata, is read with the file's bytes.
        page = zlib.decompress(stream) if b"/FlateDecode" in filtered else b""
        drawn += re.findall(rb"\(((?:[^()\\]|\\.)*)\)\s*Tj", page)
    return re.sub(rb"\\([()\\])", rb"\1", b"\n".join(drawn)).decode("latin-1").lower()


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1").lower()
    if isinstance(value, (list, tuple, set)):
        return "\n".join(map(_as_text, value))
    if isinstance(value, dict):
        return _as_text([*value.items()])
    return str(value).lower()


def texts_of_home(home: Path) -> Iterator[Text]:
    # The embedder's graph comes out of a package and is as large as all the rest.
    files = [path for path in home.rglob("*") if path.is_file() and "embedders" not in path.parts]
    cluster = (home / "postgres").resolve()
    files += cluster.glob("*.log")
    for path in files:
        yield from texts_of_file(path)


# The installation that is searched


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("leaks") / "home"
    environment = dict(os.environ)
    yield home
    EmbeddedPostgres(home).destroy()
    # Running a job tells Dagster its place by way of the environment.
    os.environ.clear()
    os.environ.update(environment)


def test_no_artefact_names_anybody(home: Path, lend_embedder: Callable[[Settings], None]) -> None:
    story = generate(3, datetime.now(UTC).replace(minute=0, second=0, microsecond=0), days=4, people=24, services=8)
    events = [
        *story.events[::EVERY],
        *(_talkative(person.username, story.events[0]) for person in story.company.people),
    ]
    needles = Needles(story.company, events)
    settings = Settings(_env_file=None, audit_home=home)
    lend_embedder(settings)
    with open_installation(settings) as installation:
        _post(installation, events)
        assert run_here(installation, "full_refresh_job")
        installation.erase(TENANT, events[0].actor or "")
        _export(installation, events)
        places = [texts_of_home(home)]
        with (
            installation.database.connect_admin() as audit,
            installation.database.connect_admin(dbname=DAGSTER_DATABASE) as dagster,
        ):
            places += [texts_of_database(audit, EMBEDDED_DATABASE), texts_of_database(dagster, DAGSTER_DATABASE)]
            leaks: set[Text] = set()
            read: set[str] = set()
            for texts in places:
                found = needles.found_in(texts)
                leaks |= found[0]
                read |= found[1]
    assert sorted(leaks) == []
    assert read >= {
        "api.log",
        "dagster: event_logs",
        "audit.duckdb",
        "audit: audit_embeddings",
        "audit: audit_logs",
        "events.csv",
        "evidence.json",
    }
    assert any(place.endswith(".parquet") for place in read)
    assert any(place.endswith(".pdf") for place in read)


def _talkative(login: str, like: Event) -> Event:
    """Return an event that says who did it wherever somebody could write it."""
    name = login.partition("@")[0]
    return Event(
        event_type=COMMON,
        entity_type="folder",
        entity_id=f"home/{name}",
        details={"note": f"by {login} from 198.18.77.7", "paths": [f"/home/{name}/x"], "email": MARKER, login: 1},
        actor=login,
        ip_address="198.18.77.7",
        user_agent=f"sync of {name}",
        occurred_at=like.occurred_at,
    )


def _post(installation: Installation, events: Sequence[Event]) -> None:
    """Send the events to a real server, and requests it refuses with names in every part of them."""
    home = installation.settings.home
    port = _free_port()
    log = home / "logs" / "api.log"
    command = (sys.executable, "-m", "audit_pipelines", "serve", "--port", str(port))
    process = start_service(command, {"AUDIT_HOME": str(home), "DATABASE_URL": ""}, log, cwd=home)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/health", process, log)
        token = mint_token(
            installation.keyring.jwt_secret,
            subject=MARKER,
            tenant_id=TENANT,
            permissions=["audit:read", "audit:write", "audit:privacy"],
            lifetime=timedelta(hours=1),
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            for event in events[:40]:
                assert client.post(EVENTS, content=msgspec.json.encode(event)).status_code == 201
            for start in range(40, len(events), 500):
                batch = list(events[start : start + 500])
                assert client.post(f"{EVENTS}/batch", content=msgspec.json.encode(batch)).status_code == 201
            _be_refused(client, events[0])
    finally:
        terminate({"api": process})


def _be_refused(client: httpx.Client, event: Event) -> None:
    address = event.ip_address or "198.18.41.230"
    clash = msgspec.structs.replace(event, event_type="a.b", details={"by": MARKER})
    assert client.post(EVENTS, content=msgspec.json.encode(clash)).status_code == 409
    assert client.post(EVENTS, json={"actor": MARKER, MARKER: address}).status_code == 422
    assert client.post(f"{EVENTS}/{MARKER}", json={}).status_code == 405
    assert client.get(f"/{MARKER}/{address}").status_code == 404
    assert client.get(f"{EVENTS}/{MARKER}").status_code == 404
    for question in ({"actor": MARKER}, {"ip_address": address}, {"q": MARKER}, {"entity_id": MARKER}):
        assert client.get(EVENTS, params=question).status_code == 200
    assert client.get(EVENTS, params={"ip_address": f"{address}x", MARKER: "1"}).status_code == 422


def _export(installation: Installation, events: Sequence[Event]) -> None:
    exports = installation.settings.storage_dir / "exports"
    with duckdb.connect(str(installation.settings.catalog_path), read_only=True) as catalog:
        write_csv([catalog.sql("select * from raw_events order by seq").pl()], exports / "events.csv")
    chosen = [event.event_id or "" for event in events if event.event_type == COMMON][:3]
    # As in a year: whole months go into archives.
    later = datetime.now(UTC) + timedelta(days=installation.settings.audit_retention_days + 60)
    assert archive_segments(installation, run_id="leaks", now=later)
    installation.seal(TENANT)
    content = evidence_for(installation.database, TENANT, chosen, *installation.verifier_keys)
    (exports / "evidence.json").write_bytes(content)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# A search that finds nothing must be able to find something


def _put_parquet(path: Path) -> None:
    pl.DataFrame({"a": [{"b": [f"by {MARKER}"]}], "c": [b"x"]}).write_parquet(path, compression="zstd")


def _put_bytes_column(path: Path) -> None:
    pl.DataFrame({"entry": [f'{{"by":"{MARKER}"}}'.encode()] * 1_000}).write_parquet(path, compression="zstd")


def _put_duckdb(path: Path) -> None:
    with duckdb.connect(str(path)) as catalog:
        catalog.execute(f"create table t as select '{MARKER.upper()}' as who from range(5000)")


def _put_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("create table t (who)")
        conn.execute("insert into t values (?)", ["x" * 5_000 + f" {MARKER} "])


def _put_npz(path: Path) -> None:
    with path.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("words.npy", f"{MARKER} and more")


def _put_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(MARKER.encode()))


def _put_log(path: Path) -> None:
    path.write_text(f"GET /x?actor={MARKER}&limit=1\n")


def _put_evidence(path: Path) -> None:
    path.write_text(f'{{"entry": "{b64encode(b"{" + MARKER.encode() * 2 + b" " + MARKER.encode() + b"}").decode()}"}}')


@pytest.mark.parametrize(
    "put",
    [_put_parquet, _put_bytes_column, _put_duckdb, _put_sqlite, _put_npz, _put_gzip, _put_log, _put_evidence],
)
def test_a_leak_in_any_kind_of_file_is_found(tmp_path: Path, put: Callable[[Path], None]) -> None:
    path = tmp_path / "artefact.json"
    put(path)
    story = generate(3, datetime(2026, 11, 20, tzinfo=UTC), days=4, people=24, services=8)
    leaks, _ = Needles(story.company, story.events).found_in(texts_of_file(path))
    assert ("artefact.json", MARKER) in leaks
