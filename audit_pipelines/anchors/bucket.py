"""Object storage as an anchor: one object per checkpoint, never overwritten, read back by verification.

`obstore` because it is 6 MB where boto3 with botocore is 17, is typed, and knows the conditional PUT. A bucket with
object lock keeps its objects from whoever holds these credentials, too.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from audit_pipelines.anchors.deadline import run
from audit_pipelines.anchors.posting import TIMEOUT_S
from audit_pipelines.anchors.tunnel import tunnel
from audit_pipelines.errors import AnchorUnavailableError, AuditError
from audit_pipelines.ledger.checkpoint import AnchorLog, tenant_of
from audit_pipelines.outgoing import PUBLIC, ForbiddenAddressError, Outgoing

_MAX_NOTE: Final = 64 * 1024
_KEY: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9]{20}-([0-9a-f]{64})\.note")
_AT_ONCE: Final = 16
# Where the library itself asks for the role of the machine, over plain http; no setting leads here.
_CREDENTIAL_SERVICES: Final = ("169.254.169.254", "169.254.170.2", "169.254.170.23")
_READING_S: Final = 600.0
"""For one reading of the whole bucket: whoever verifies waits for it."""
_FAILURES: Final = (BaseError, OSError, ValueError)  # an asyncio.TimeoutError is an OSError
_STATUS: Final = re.compile(r"\b([345][0-9]{2}) [A-Z]")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach and enter object storage; what is None, the library finds out, e.g. the machine's own role."""

    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class BucketAnchor:
    """Keeps each note as `<prefix>/<tenant>/<size, 20 digits>-<SHA-256 of the note>.note`."""

    name: str
    location: str
    access: Access
    outgoing: Outgoing = PUBLIC
    timeout_s: float = TIMEOUT_S

    def publish(self, note: str) -> None:
        """Store `note` under its own digest; an object that is there already must be the same.

        Raises:
            AnchorUnavailableError: when the storage did not take it, or holds something else in its place.
        """
        run(self._publish(note))

    async def _publish(self, note: str) -> None:
        content, key = note.encode(), _key(note)
        try:
            async with asyncio.timeout(self.timeout_s), self._store() as store:
                try:
                    await obstore.put_async(store, key, content, mode="create")
                except AlreadyExistsError:
                    if await _get(store, key) != content:
                        raise AnchorUnavailableError("another object lies in the place of this checkpoint") from None
        except _FAILURES as error:
            raise AnchorUnavailableError(_words(error)) from error

    def read_all(self, known: Mapping[str, str]) -> dict[UUID, AnchorLog]:
        """Return every tenant's notes, oldest first; those in `known` (by SHA-256, hex) are not fetched.

        An object's name commits to its content, so that listing alone shows which checkpoints were kept. One that does
        not have the content its name commits to is `altered`, one that could not be fetched `unread`, and one with a
        name that no checkpoint has is somebody else's.

        Raises:
            AnchorUnavailableError: when the storage cannot be listed.
        """
        return run(self._read_all(known))

    async def _read_all(self, known: Mapping[str, str]) -> dict[UUID, AnchorLog]:
        async with self._store() as store:
            return await self._read_from(store, known, time.monotonic() + _READING_S)

    async def _read_from(self, store: S3Store, known: Mapping[str, str], until: float) -> dict[UUID, AnchorLog]:
        objects = await self._list(store, until)
        contents = {item.name: known[item.digest].encode() for item in objects if item.digest in known}
        # A name that is kept while the content was replaced shows at least when the length differs.
        missing = [item for item in objects if item.is_like_a_note and len(contents.get(item.name, b"")) != item.size]
        for item in missing:
            contents.pop(item.name, None)
        refusals = await self._fetch(store, missing, contents, until)
        by_tenant: dict[UUID, list[_Object]] = {}
        for item in objects:
            by_tenant.setdefault(item.tenant_id, []).append(item)
        return {tenant_id: _log(items, contents, refusals) for tenant_id, items in by_tenant.items()}

    async def _list(self, store: S3Store, until: float) -> list["_Object"]:
        found = []
        pages = obstore.list(store).__aiter__()
        try:
            while time.monotonic() < until:
                async with asyncio.timeout(self.timeout_s):
                    found += [(item["path"], item["size"]) for item in await anext(pages)]
        except StopAsyncIteration:
            return [
                _Object(name, UUID(match[1]), match[2], size)
                for name, size in sorted(found)
                if (match := _KEY.fullmatch(name))
            ]
        except _FAILURES as error:
            raise AnchorUnavailableError(_words(error)) from error
        raise AnchorUnavailableError(f"object storage: no whole listing within {_READING_S:g} s")

    async def _fetch(
        self, store: S3Store, objects: Sequence["_Object"], contents: dict[str, bytes], until: float
    ) -> Mapping[str, str]:
        """Add the objects' contents to `contents`; return why those that are not there could not be fetched."""
        refusals: dict[str, str] = {}

        async def fetch(item: _Object) -> bool:
            try:
                async with asyncio.timeout(self.timeout_s):
                    contents[item.name] = await _get(store, item.name)
            except _FAILURES as error:
                refusals[item.name] = _words(error)
                return False
            return True

        for start in range(0, len(objects), _AT_ONCE):
            some = objects[start : start + _AT_ONCE]
            # None of so many: the storage is away, and each further object could cost a time-out.
            if not any(await asyncio.gather(*map(fetch, some))) or time.monotonic() > until:
                late = "object storage: left alone after failures or too long a time"
                refusals.update((item.name, late) for item in objects[start + _AT_ONCE :])
                break
        return refusals

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[S3Store]:
        """Open the storage so that the library reaches the addresses that were checked, whatever the name says next.

        Raises:
            AnchorUnavailableError: when the endpoint leads to where nothing may go.
        """
        parts = urlsplit(self.access.endpoint or "")
        address = await self._address(parts.hostname, parts.port or 443) if parts.hostname else ""
        if parts.scheme == "http":
            # `settings.py` lets plain http through for this machine's own addresses alone: no TLS asks for the name.
            literal = f"[{address}]" if ":" in address else address
            yield self._open(parts._replace(netloc=f"{literal}:{parts.port or 80}").geturl(), {})
        else:
            async with tunnel(self.outgoing) as proxy:
                way = {"proxy_url": proxy, "proxy_excludes": ",".join(_CREDENTIAL_SERVICES)}
                yield self._open(self.access.endpoint, way)

    async def _address(self, host: str, port: int) -> str:
        try:
            async with asyncio.timeout(self.timeout_s):
                return (await self.outgoing.resolve(host, port)).addresses[0]
        except (ForbiddenAddressError, OSError) as error:
            words = str(error) if isinstance(error, ForbiddenAddressError) else "the name could not be resolved"
            raise AnchorUnavailableError(f"object storage: {words}") from error

    def _open(self, endpoint: str | None, way: Mapping[str, str]) -> S3Store:
        bucket, _, prefix = self.location.partition("/")
        given = {
            "endpoint": endpoint,
            "region": self.access.region,
            "access_key_id": self.access.access_key_id,
            "secret_access_key": self.access.secret_access_key,
            "session_token": self.access.session_token,
        }
        limit = timedelta(seconds=self.timeout_s)
        return S3Store(
            bucket,
            prefix=prefix or None,
            config={name: value for name, value in given.items() if value},  # type: ignore[arg-type]  # its keys are literals
            client_options={"timeout": limit, "connect_timeout": limit, "allow_http": True, **way},  # type: ignore[arg-type]  # as above
            retry_config={"max_retries": 2, "retry_timeout": limit},
        )


@dataclass(frozen=True, slots=True)
class _Object:
    """One listed object that is named like a checkpoint's."""

    name: str
    tenant_id: UUID
    digest: str
    size: int

    @property
    def is_like_a_note(self) -> bool:
        return 0 < self.size <= _MAX_NOTE


def _log(objects: Iterable[_Object], contents: Mapping[str, bytes], refusals: Mapping[str, str]) -> AnchorLog:
    notes, altered, unread = [], [], []
    for item in objects:
        if item.name in refusals:
            unread.append(item.name)
            continue
        content = contents.get(item.name, b"")
        if hashlib.sha256(content).hexdigest() != item.digest or not item.is_like_a_note:
            altered.append(f"the object {item.name} does not have the content its name commits to")
        elif _key_or_none(content) != item.name:
            altered.append(f"the object {item.name} holds no checkpoint of this name")
        else:
            notes.append(content.decode())
    # One sentence for all: when the storage goes away in the middle, it may be 100,000.
    more = f" and {len(unread) - 1:,} further ones" if len(unread) > 1 else ""
    silent = (f"the object {unread[0]}{more} could not be read: {refusals[unread[0]]}",) if unread else ()
    return AnchorLog(tuple(notes), (), altered=tuple(altered), unread=silent)


def _key(note: str) -> str:
    size = note.split("\n")[1]
    return f"{tenant_of(note)}/{int(size):020}-{hashlib.sha256(note.encode()).hexdigest()}.note"


def _key_or_none(content: bytes) -> str | None:
    try:
        return _key(content.decode())
    except (AuditError, ValueError, IndexError):
        return None


async def _get(store: S3Store, key: str) -> bytes:
    # One more byte than any note has, so that a swollen object is seen and not fetched whole.
    return bytes(await obstore.get_range_async(store, key, start=0, length=_MAX_NOTE + 1))


def _words(error: Exception) -> str:
    """Return a failure without the library's text, which repeats addresses and answers at length."""
    status = _STATUS.search(str(error))
    kind = type(error).__name__.removesuffix("Error")
    return f"object storage: {kind}" + (f", status {status[1]}" if status else "")
