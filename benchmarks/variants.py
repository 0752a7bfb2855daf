"""`python -m benchmarks.variants VARIANT PORT`: the product's server, or the same with one thing taken away.

`product` is what `serve` runs. `no-op` authenticates, reads and decodes a POST and answers 201 without storing it.
`per-event` stores each event in a transaction of its own, on as many threads as the product has.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from audit_pipelines.server import app, serve
from audit_pipelines.server.auth import Principal
from audit_pipelines.server.body import read_body
from audit_pipelines.server.decoding import decode_event
from audit_pipelines.server.events import EVENT_BYTES, EventWriting
from audit_pipelines.server.idempotency import Answer
from audit_pipelines.server.workers import Workers
from audit_pipelines.server.writing import EventWrite, store
from audit_pipelines.settings import load_settings

_RECEIPT: Final = b'{"event_id":"%b","seq":1,"row_hash":"%b"}' % (b"0" * 36, b"0" * 64)


class _NoOp(EventWriting):
    async def append(self, request: Request, principal: Principal) -> Response:  # noqa: ARG002 - the product's shape
        decode_event(await read_body(request, EVENT_BYTES))
        return Response(_RECEIPT, 201, media_type="application/json")


class _OneByOne:
    """Stands where group commit does."""

    def __init__(self, store_group: "partial[Sequence[Answer | Exception]]") -> None:
        self._store = store_group
        self._workers = Workers(16, 1_000)

    async def append(self, write: EventWrite) -> Answer:
        [answer] = await self._workers.run(partial(self._store, [write]))
        if isinstance(answer, Exception):
            raise answer
        return answer


class _PerEvent(EventWriting):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._group = _OneByOne(partial(store, self._database))  # type: ignore[assignment,arg-type]


VARIANTS: Final = {"product": EventWriting, "no-op": _NoOp, "per-event": _PerEvent}


def main() -> None:
    """Serve until stopped."""
    app.EventWriting = VARIANTS[sys.argv[1]]  # type: ignore[misc]
    serve.run_server(load_settings(), host="127.0.0.1", port=int(sys.argv[2]))


if __name__ == "__main__":
    main()
