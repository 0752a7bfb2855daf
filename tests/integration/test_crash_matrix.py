"""What was answered is there exactly once, whatever dies under load; a retry with its name gets the first answer.

A table of all kinds is printed at the end (-s). AUDIT_CRASH_MOMENTS sets how often each kind strikes.
"""

import base64
import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import quote

import pytest
from crash_load import PATIENCE_S, Load, Name
from crash_world import Matrix, Postmaster, Scene, is_over, kill, serving
from postgres_proxy import Point, Proxy, proxy_to
from small_disk import Disk, small_disk

from audit_pipelines.db.embedded import EmbeddedPostgres
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.settings import Settings

MOMENTS: Final = os.environ.get("AUDIT_CRASH_MOMENTS")
WHERE: Final = {
    "before": "before the commit",
    "during": "as the commit is sent",
    "after": "after the commit, before its answer",
}
# The data of a new installation take 70 MB, its log one segment of 16 and what it may make of it meanwhile.
DATA_MB, LOG_MB = 192, 96


def moments(default: int) -> int:
    """Return how often a kind strikes: as often as takes some seconds, unless the environment says another number."""
    return int(MOMENTS) if MOMENTS else default


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    table = Matrix()
    yield table
    print(f"\n{table}")  # noqa: T201 - the table is what people run it for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation whose embedded Postgres flushes to disk, unlike that of the other tests."""
    settings = Settings(_env_file=None, audit_home=tmp_path_factory.mktemp("crash") / "home")
    settings.home.mkdir()
    try:
        with open_installation(settings) as installation:
            yield installation
    finally:
        EmbeddedPostgres(settings.home).destroy()


@pytest.fixture(scope="module")
def scene(matrix: Matrix, home: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """`serve` with its embedded database, as people run it."""
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    with serving({"AUDIT_HOME": str(home.settings.home)}, log) as server:
        yield Scene(matrix, home, server)


def test_connections_cut_at_any_moment(scene: Scene) -> None:
    pid = scene.server.pid

    def strike(load: Load, chance: random.Random) -> None:
        with scene.installation.database.connect_admin() as conn:
            conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'audit_app'")

    outcome = scene.survive("all connections to the database cut", moments(20), strike)
    assert outcome.repeated, "nothing was struck while it was at work"
    assert scene.server.pid == pid


def test_the_server_killed_at_any_moment(scene: Scene) -> None:
    def strike(load: Load, chance: random.Random) -> None:
        scene.server.kill()
        scene.server.start()

    outcome = scene.survive("server killed", moments(5), strike)
    assert outcome.repeated, "nothing was struck while it was at work"


@pytest.mark.parametrize("victims", ["postmaster", "one backend", "postmaster and children"])
def test_the_database_killed_at_any_moment(scene: Scene, victims: str) -> None:
    postmaster, pid = Postmaster(scene.installation.settings.home), scene.server.pid

    def strike(load: Load, chance: random.Random) -> None:
        everybody = postmaster.processes()
        some = {"postmaster": everybody[:1], "postmaster and children": everybody}
        kill(some[victims] if victims in some else [postmaster.backend(chance)])
        if victims in some:
            # The server under load does it, and nobody else; it may be before anybody was refused.
            postmaster.wait_for_another(everybody[0].pid)
        else:
            postmaster.bring_back()
        load.wait_for(answers=1)

    scene.survive(f"database killed: {victims}", moments(2), strike)
    assert scene.server.pid == pid, "the server needed a new start"


def test_clients_that_hang_up_before_the_answer(scene: Scene) -> None:
    def strike(load: Load, chance: random.Random) -> None:
        load.wait_for(hang_ups=1)

    outcome = scene.survive("client hung up", moments(40), strike, hang_ups=0.5)
    assert outcome.stored_before, "no client left between its request and the answer"


@pytest.fixture(scope="module")
def proxy(home: Installation) -> Iterator[Proxy]:
    folder = (home.settings.home / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    with proxy_to(f"{folder}/.s.PGSQL.5432") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def scene_behind_proxy(
    matrix: Matrix, home: Installation, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """`serve` that takes the same database for one that is not its own: all keys are given by the environment."""
    folder = tmp_path_factory.mktemp("serve_behind_proxy")
    assert home.database._embedded
    password = quote(home.database._embedded.password, safe="")
    address = f"postgres:{password}@127.0.0.1:{proxy.port}"
    environment = {
        "AUDIT_HOME": str(folder / "home"),
        "DATABASE_URL": f"postgresql://{address}/audit?sslmode=disable&gssencmode=disable",
        "AUDIT_ENCRYPTION_KEY": (home.settings.keys_dir / "encryption.key").read_text(),
        "JWT_SECRET": home.keyring.jwt_secret,
        # It signs nothing here: the installation that verifies makes the checkpoints.
        "AUDIT_SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    with serving(environment, folder / "serve.log") as server:
        yield Scene(matrix, home, server)


@pytest.mark.parametrize("name", get_args(Name))
@pytest.mark.parametrize("point", get_args(Point))
def test_a_connection_cut_at_the_commit(scene_behind_proxy: Scene, proxy: Proxy, point: Point, name: Name) -> None:
    count, pid = moments(15), scene_behind_proxy.server.pid

    def strike(load: Load, chance: random.Random) -> None:
        proxy.cut(point, timeout_s=60)

    outcome = scene_behind_proxy.survive(f"cut {WHERE[point]} ({name})", count, strike, name=name)
    assert outcome.refusals >= count, "a cut was not noticed by any client"
    if point == "before":
        assert outcome.stored_before == 0
    if point == "after":
        assert outcome.stored_before >= count
    assert scene_behind_proxy.server.pid == pid


@dataclass(frozen=True)
class OnSmallDisks:
    """An installation and its server, and the disks its database lies on."""

    scene: Scene
    postmaster: Postmaster
    data: Disk
    log: Disk


@pytest.fixture(scope="module")
def on_small_disks(matrix: Matrix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnSmallDisks]:
    folder = tmp_path_factory.mktemp("small_disks")
    settings = Settings(_env_file=None, audit_home=folder / "home")
    settings.home.mkdir()
    embedded = EmbeddedPostgres(settings.home)
    try:
        with open_installation(settings):
            pass
        with ExitStack() as stack:
            data = stack.enter_context(small_disk(embedded.data_dir, DATA_MB))
            log = stack.enter_context(small_disk(embedded.data_dir / "pg_wal", LOG_MB))
            installation = stack.enter_context(open_installation(settings))
            with installation.database.connect_admin() as conn:
                # Else Postgres keeps the files that a strike used up for the next, until they are all the disk holds.
                conn.execute("alter system set wal_recycle = off")
                conn.execute("select pg_reload_conf()")
            server = stack.enter_context(serving({"AUDIT_HOME": str(settings.home)}, folder / "serve.log"))
            yield OnSmallDisks(Scene(matrix, installation, server), Postmaster(settings.home), data, log)
    finally:
        embedded.destroy()


def test_a_full_disk_under_the_data(on_small_disks: OnSmallDisks) -> None:
    """Postgres refuses what does not fit and goes on; so does the server, without anybody's help."""
    scene, disk = on_small_disks.scene, on_small_disks.data
    before = scene.server.pid, on_small_disks.postmaster.pid

    def strike(load: Load, chance: random.Random) -> None:
        disk.fill()
        load.wait_for(refusals=1 + chance.randrange(30))
        disk.free()
        load.wait_for(answers=1)

    outcome = scene.survive("disk full: data", moments(3), strike)
    assert outcome.stored_before == 0, "an event was refused and stored"
    assert (scene.server.pid, on_small_disks.postmaster.pid) == before


def test_a_full_disk_under_the_write_ahead_log(on_small_disks: OnSmallDisks) -> None:
    """Postgres ends itself, and is started again by the next command once there is room; the server needs no start."""
    scene, postmaster, disk = on_small_disks.scene, on_small_disks.postmaster, on_small_disks.log
    pid = scene.server.pid

    def strike(load: Load, chance: random.Random) -> None:
        former = postmaster.process
        # The files that are there already would last for some ten thousand events; and dying processes may give back
        # deleted ones that they held open, so that Postgres recovers once more.
        deadline = time.monotonic() + PATIENCE_S
        while not is_over(former):
            assert time.monotonic() < deadline, "Postgres goes on without its write-ahead log"
            disk.fill()
            postmaster.use_up_log()
        load.wait_for(refusals=1 + chance.randrange(30))
        disk.free()
        postmaster.bring_back()
        load.wait_for(answers=1)

    scene.survive("disk full: write-ahead log", moments(2), strike)
    assert scene.server.pid == pid
