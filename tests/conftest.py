"""Fixtures for every kind of test: a fresh installation over a real Postgres, and the real audit logs where present."""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
import pytest
from psycopg import sql

from audit_pipelines.db.database import Database, ensure_database
from audit_pipelines.db.embedded import Account, EmbeddedPostgres
from audit_pipelines.derive.readings import ReadingVectors
from audit_pipelines.generator.vocabulary import SPECS
from audit_pipelines.installation import Installation, assemble
from audit_pipelines.intelligence.embed import MiniLMEmbedder
from audit_pipelines.intelligence.render import label_words
from audit_pipelines.intelligence.search.readings import Reading
from audit_pipelines.keyring import open_keyring
from audit_pipelines.settings import Settings

TEMPLATE = "audit_template"
# Files are handed out whole to processes that run beside each other (`make test`): what takes longest begins first, or
# one process ends minutes after the others.
LONGEST_FIRST = (
    "test_erasure_of_a_home.py",
    "test_up.py",
    "test_runs.py",
    "test_search_quality.py",
    "test_leaks.py",
    "test_secrets.py",
    "test_ledger_machine.py",
    "test_crash_matrix.py",
    "test_purge_in_steps.py",
    "test_tenant_isolation.py",
)

# A database of a test's own is 350 files, made and removed: 0.06 s of one processor in memory, 0.3 to 0.7 on ext4.
MEMORY = Path("/dev/shm")
ROOM_BYTES = 8 << 30

# A key in somebody's shell chooses a server, and tests would send it texts.
os.environ.pop("OPENAI_API_KEY", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others and the tests of each keep their order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real audit logs; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("AUDIT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real audit logs are not at {folder}; set AUDIT_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One embedded server for the session, with a migrated template database."""
    home = tmp_path_factory.mktemp("postgres-home")
    server = (_InMemory if _has_room(MEMORY) else EmbeddedPostgres)(home, durable=False)
    server.start()
    settings = Settings(_env_file=None, audit_home=home)
    template = Database(settings, server, TEMPLATE)
    ensure_database(template, TEMPLATE)
    template.migrate()
    yield server
    server.destroy()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings over a home of the test's own; the machine's environment and `.env` do not reach them."""
    return Settings(_env_file=None, audit_home=tmp_path / "home")


@pytest.fixture(scope="session")
def fresh_database(postgres: EmbeddedPostgres) -> Callable[[Settings], AbstractContextManager[Database]]:
    """What makes a migrated database, copied from the template in about 50 ms, and drops it at the end of the block."""

    @contextmanager
    def make(settings: Settings) -> Iterator[Database]:
        name = f"audit_{uuid.uuid4().hex}"
        fresh = Database(settings, _Borrowed(postgres), name)
        named = sql.Identifier(name)
        with fresh.connect_admin(dbname="postgres") as conn:
            conn.execute(sql.SQL("create database {} template {}").format(named, sql.Identifier(TEMPLATE)))
        try:
            yield fresh
        finally:
            fresh.close()
            with fresh.connect_admin(dbname="postgres") as conn:
                conn.execute(sql.SQL("drop database {} with (force)").format(named))

    return make


@pytest.fixture
def database(
    fresh_database: Callable[[Settings], AbstractContextManager[Database]], settings: Settings
) -> Iterator[Database]:
    """A migrated database of the test's own."""
    with fresh_database(settings) as database:
        yield database


@pytest.fixture
def installation(settings: Settings, database: Database) -> Installation:
    """A whole installation with generated keys and an empty ledger."""
    return assemble(settings, open_keyring(settings), database)


@pytest.fixture
def tenant_id() -> uuid.UUID:
    """A tenant nobody has used."""
    return uuid.uuid4()


@pytest.fixture(scope="session")
def embedder_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX graph, beside it what the generator's kinds of event are read as: 4 s each, one for all of a run."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    cache = folder / "embedder"
    cache.mkdir(exist_ok=True)
    with (folder / "embedder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not [*cache.glob("*.onnx")]:
            embedder = MiniLMEmbedder(cache)
            kinds = {Reading(label_words(name), failed) for name in SPECS for failed in (False, True)}
            ReadingVectors(cache, embedder).learn(kinds)
    return next(cache.glob("*.onnx"))


@pytest.fixture(scope="session")
def lend_embedder(embedder_graph: Path) -> Callable[[Settings], None]:
    """What puts the graph into a home before anything there embeds."""

    def lend(settings: Settings) -> None:
        cache = settings.storage_dir / "embedders"
        cache.mkdir(parents=True)
        for made in embedder_graph.parent.iterdir():
            (cache / made.name).hardlink_to(made)

    return lend


def _has_room(folder: Path) -> bool:
    """Return whether a folder in memory takes some clusters; a container's may hold 64 MB."""
    return folder.is_dir() and min(shutil.disk_usage(folder).free, psutil.virtual_memory().available) > ROOM_BYTES


class _InMemory(EmbeddedPostgres):
    """A server whose cluster lies in memory and is gone with the machine; all else is as everywhere."""

    def _new_cluster_dir(self, account: Account) -> Path:
        cluster = Path(tempfile.mkdtemp(prefix="audit-tests-", dir=MEMORY))
        os.chown(cluster, account.uid, account.gid)
        (self.home / "postgres").symlink_to(cluster)
        return cluster


class _Borrowed(EmbeddedPostgres):
    """The session's server in a test's hands: closing a test's database must not stop it."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        super().__init__(server.home)

    def release(self) -> None:
        return
