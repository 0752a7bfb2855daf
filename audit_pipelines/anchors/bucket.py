"""Object storage as an anchor: one object per checkpoint, never overwritten, read back by verification.

`obstore` because it is 6 MB where boto3 with botocore is 17, is typed, and knows the conditional PUT. A bucket with
object lock keeps its objects from whoever holds these credentials, too.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from audit_pipelines.anchors.posting import TIMEOUT_S
from audit_pipelines.errors import AnchorUnavailableError
from audit_pipelines.ledger.checkpoint import AnchorLog

_MAX_NOTE: Final = 64 * 1024
_KEY: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9]{20})-([0-9a-f]{64})\.note")
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
    timeout_s: float = TIMEOUT_S

    def publish(self, note: str) -> None:
        """Store `note` under its own digest; an object that is there already must be the same.

        Raises:
            AnchorUnavailableError: when the storage did not take it, or holds something else in its place.
        """
        content = note.encode()
        origin, size, *_ = note.split("\n")
        digest = hashlib.sha256(content).hexdigest()
        key = f"{origin.rpartition('/')[2]}/{int(size):020}-{digest}.note"
        store = self._store()
        try:
            obstore.put(store, key, content, mode="create")
        except AlreadyExistsError:
            if self._get(store, key) != content:
                raise AnchorUnavailableError("another object lies in the place of this checkpoint") from None
        except (BaseError, OSError, ValueError) as error:
            raise AnchorUnavailableError(_words(error)) from error

    def read_all(self, known: Mapping[str, str]) -> dict[UUID, AnchorLog]:
        """Return every tenant's notes, oldest first; those in `known` (by SHA-256, hex) are not fetched.

        An object's name commits to its content, so that listing alone shows which checkpoints were kept.

        Raises:
            AnchorUnavailableError: when the storage cannot be read.
        """
        store = self._store()
        notes: dict[UUID, list[str]] = {}
        try:
            names = [item["path"] for page in obstore.list(store) for item in page]
        except (BaseError, OSError, ValueError) as error:
            raise AnchorUnavailableError(_words(error)) from error
        for name in sorted(names):
            match = _KEY.fullmatch(name)
            if match is None:
                continue
            note = known.get(match[3])
            if note is None:
                content = self._get(store, name)
                if hashlib.sha256(content).hexdigest() != match[3]:
                    raise AnchorUnavailableError(f"the object {name} does not have the content its name commits to")
                note = content.decode(errors="replace")
            notes.setdefault(UUID(match[1]), []).append(note)
        return {tenant_id: AnchorLog(tuple(kept), ()) for tenant_id, kept in notes.items()}

    def _get(self, store: S3Store, key: str) -> bytes:
        try:
            # One more byte than any note has, so that a swollen object is seen and not fetched whole.
            return bytes(obstore.get_range(store, key, start=0, length=_MAX_NOTE + 1))
        except (BaseError, OSError, ValueError) as error:
            raise AnchorUnavailableError(_words(error)) from error

    def _store(self) -> S3Store:
        bucket, _, prefix = self.location.partition("/")
        given = {
            "endpoint": self.access.endpoint,
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
            # `settings.py` lets plain http through for this machine's own addresses alone.
            client_options={"timeout": limit, "connect_timeout": limit, "allow_http": True},
            retry_config={"max_retries": 2, "retry_timeout": limit},
        )


def _words(error: Exception) -> str:
    """Return a failure without the library's text, which repeats addresses and answers at length."""
    status = _STATUS.search(str(error))
    kind = type(error).__name__.removesuffix("Error")
    return f"object storage: {kind}" + (f", status {status[1]}" if status else "")
