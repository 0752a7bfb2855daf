"""Running the application: one process, uvicorn with uvloop and httptools, an orderly start and stop."""

import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.installation import open_installation
from audit_pipelines.server.app import create_app
from audit_pipelines.settings import Settings

# `up` gives every process 15 s in all; requests under way get most of it.
_GRACE_S: Final = 8
_LOG: Final = logging.getLogger("audit_pipelines.server")


class _StoppedError(BaseException):
    """SIGTERM or SIGINT came; a BaseException, so that no handler of errors holds it up on its way out."""


def run_server(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was begun, leave the database, and return.

    Raises:
        ConfigurationError: when the address cannot be listened on, or a setting is missing.
        DatabaseUnavailableError: when the database cannot be started or reached.
    """
    configure_logging()
    with _orderly_stop(), _listen(host, port) as listener, open_installation(settings) as installation:
        installation.database.keep_warm()
        server = uvicorn.Server(server_config(create_app(installation)))
        _LOG.info("listening host=%s port=%d", *listener.getsockname()[:2])
        server.run(sockets=[listener])
        _LOG.info("stopped")


def server_config(app: object) -> uvicorn.Config:
    """Return how we run uvicorn; its own access log is off, because it writes query strings, and names are in those."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn spells out ASGI's types in its own way
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


def configure_logging() -> None:
    """Write plain `key=value` lines to standard error, unless the process has set up its logging already."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")


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
