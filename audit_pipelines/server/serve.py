"""Running the application: uvicorn with uvloop and httptools, in one process or several, an orderly start and stop."""

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.installation import Installation, open_installation
from audit_pipelines.server.app import create_app
from audit_pipelines.server.corking import CorkedProtocol
from audit_pipelines.settings import Settings, load_settings
from audit_pipelines.supervise import die_with_parent

# `up` gives every process 15 s in all; requests under way get most of it.
_GRACE_S: Final = 8
# A worker that does not answer its parent for so long is replaced; a large batch keeps a loaded one busy for seconds.
_HEALTHY_S: Final = 60
# A batch of 10,000 events has some 30,000 objects.
_OBJECTS_BETWEEN_COLLECTIONS: Final = 100_000
_LOG: Final = logging.getLogger("audit_pipelines.server")


class _StoppedError(BaseException):
    """SIGTERM or SIGINT came; a BaseException, so that no handler of errors holds it up on its way out."""


def run_server(settings: Settings, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun, leave the database, and return.

    Several workers share the address; one that dies is replaced. They read their settings from the same environment.

    Raises:
        ConfigurationError: when the address cannot be listened on, or a setting is missing.
        DatabaseUnavailableError: when the database cannot be started or reached.
    """
    configure_logging()
    with _orderly_stop(), _listen(host, port) as listener, open_installation(settings) as installation:
        _LOG.info("listening workers=%d host=%s port=%d", workers, *listener.getsockname()[:2])
        if workers == 1:
            _prepare(installation)
            uvicorn.Server(server_config(create_app(installation))).run(sockets=[listener])
        else:
            # Held open here as well, the embedded database outlives any worker.
            config = server_config(f"{__name__}:worker_app", workers=workers)
            Multiprocess(config, sockets=[listener]).run()
        _LOG.info("stopped")


def worker_app() -> Starlette:
    """Return the application of one worker among several, over an installation of its own that ends with it."""
    configure_logging()
    if sys.platform == "linux":
        die_with_parent()
    opened = ExitStack()
    installation = opened.enter_context(open_installation(load_settings()))
    _prepare(installation)
    return create_app(installation, on_stop=opened.close)


def _prepare(installation: Installation) -> None:
    installation.database.keep_warm()
    # Events make no cycles. Looking for some after every 700 new objects took a fifth of a batch's time.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 50)


def server_config(app: Starlette | str, workers: int = 1) -> uvicorn.Config:
    """Return how we run uvicorn: an application, or where several workers find what makes theirs.

    Its own access log is off, because it writes query strings, and names are in those.
    """
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=workers,
        timeout_worker_healthcheck=_HEALTHY_S,
        loop="uvloop",
        http=CorkedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


def configure_logging() -> None:
    """Write plain `key=value` lines to standard error, unless the process has set up its logging already.

    No line names a thread, a process or a place in the code, so none is looked for: that is half of what a line costs,
    and there is one for each request (the standard library's "Logging HOWTO", Optimization).
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging._srcfile = None  # noqa: SLF001 - the HOWTO's own words
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port"
        ) from error


@contextmanager
def _orderly_stop() -> Iterator[None]:
    """Turn the signals that stop a process into leaving this block.

    uvicorn raises a signal it has caught once more when it is done; with the default handler the process would die
    there and leave the embedded database running.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _StoppedError

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _StoppedError:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
