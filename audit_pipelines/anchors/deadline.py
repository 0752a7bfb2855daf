"""Exchanges with outside anchors under one deadline for the whole, however slowly the other side answers.

A time-out for each read is not enough: who sends a byte every nine seconds never runs into one of ten.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(exchange: Coroutine[Any, Any, _T]) -> _T:
    """Run `exchange` to its end in an event loop of its own and return what it returns; not from within another loop.

    Returns as soon as the exchange has ended: `asyncio.run` would go on to wait for a name resolution that the exchange
    has given up, and that knows no time-out and cannot be stopped.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(exchange)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
