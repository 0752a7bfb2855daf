"""What is written in one pass of the loop leaves as one piece; nothing is held for longer, lost or put out of order."""

import asyncio
from typing import cast

from audit_pipelines.server.corking import _MOST_BYTES, _Corked


class Recorder:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed_after: int | None = None

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def close(self) -> None:
        self.closed_after = len(self.pieces)

    def is_closing(self) -> bool:
        return self.closed_after is not None

    def get_extra_info(self, name: str) -> str:
        return f"extra {name}"


def corked(loop: asyncio.AbstractEventLoop) -> tuple[_Corked, Recorder]:
    recorder = Recorder()
    return _Corked(cast("asyncio.Transport", recorder), loop), recorder


def test_writes_of_one_pass_leave_together() -> None:
    async def main() -> None:
        transport, recorder = corked(asyncio.get_running_loop())
        transport.write(b"head ")
        transport.write(b"body")
        assert recorder.pieces == []
        await asyncio.sleep(0)
        transport.write(b"next")
        await asyncio.sleep(0)
        assert recorder.pieces == [b"head body", b"next"]
        assert transport.get_extra_info("peername") == "extra peername"

    asyncio.run(main())


def test_closing_sends_what_is_held_first() -> None:
    async def main() -> None:
        transport, recorder = corked(asyncio.get_running_loop())
        transport.write(b"last words")
        transport.close()
        assert (recorder.pieces, recorder.closed_after, transport.is_closing()) == ([b"last words"], 1, True)
        await asyncio.sleep(0)
        assert recorder.pieces == [b"last words"]

    asyncio.run(main())


def test_much_is_not_held() -> None:
    async def main() -> None:
        transport, recorder = corked(asyncio.get_running_loop())
        transport.write(b"a" * _MOST_BYTES)
        transport.write(b"b")
        assert recorder.pieces == [b"a" * _MOST_BYTES + b"b"]

    asyncio.run(main())
