"""Checkpoints: signed statements of a tenant's tree size, root and chain head, and anchors outside the database.

Belongs here: the text of a checkpoint (https://c2sp.org/tlog-checkpoint), signing and opening it, and writing it where
somebody with the database cannot change it. When a checkpoint is due and where else it is kept, the caller decides.
"""

import base64
import binascii
import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, Protocol
from uuid import UUID

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.ledger.keys import Signer, VerifierKey, sync_directory

ORIGIN_PREFIX = "audit_pipelines/"
MAX_SIGNATURES = 16
_SIGNATURE_MARK = "— "
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of one tenant's ledger after `size` events.

    `root` is the RFC 6962 root over the leaf hashes 0 … size-1, `chain_head` the `row_hash` of the last row (the
    tenant's genesis hash if there is none), `sealed_at` the signer's clock, aware, in microseconds.
    """

    tenant_id: UUID
    size: int
    root: bytes
    chain_head: bytes
    sealed_at: datetime

    def __post_init__(self) -> None:
        if not 0 <= self.size < 1 << 63:
            raise ValidationError(f"a checkpoint's size must be at least 0 and below 2^63, got {self.size}")
        if len(self.root) != 32 or len(self.chain_head) != 32:
            raise ValidationError(
                f"a checkpoint's root and chain head have 32 bytes, got {len(self.root)} and {len(self.chain_head)}"
            )
        if self.sealed_at.tzinfo is None:
            raise ValidationError(f"a checkpoint's time must carry its zone, got {self.sealed_at.isoformat()}")

    def text(self) -> str:
        """Return the note text, the bytes of which are signed: five lines, each with its newline."""
        moment = self.sealed_at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return (
            f"{ORIGIN_PREFIX}{self.tenant_id}\n{self.size}\n{_encode(self.root)}\n"
            f"chain {_encode(self.chain_head)}\ntime {moment}Z\n"
        )


def sign(checkpoint: Checkpoint, signer: Signer) -> str:
    """Return the checkpoint as a signed note with one signature line.

    The signer must never sign a checkpoint that is inconsistent with an earlier one; the caller proves that first.
    """
    return sign_text(checkpoint.text(), signer)


def sign_text(text: str, signer: Signer) -> str:
    """Return any text that ends with a newline as a signed note; its first line must say what kind of text it is."""
    signature = signer.verifier_key.key_hash + signer.sign(text.encode())
    return f"{text}\n{_SIGNATURE_MARK}{signer.name} {_encode(signature)}\n"


def open_note(note: str, verifier_keys: Iterable[VerifierKey]) -> Checkpoint:
    """Return the checkpoint in `note` if a key of `verifier_keys` signed it.

    Lines by other keys are ignored, as C2SP demands (witnesses, key rotation); a line by a known key must be right.
    Raises `TamperedError` if no known key signed, a known key's signature is wrong, or the text is not a checkpoint's.
    """
    return _parse(open_text(note, verifier_keys))


def open_text(note: str, verifier_keys: Iterable[VerifierKey]) -> str:
    """Return the text of a signed note if a key of `verifier_keys` signed it; otherwise as `open_note`."""
    text, signatures = _split(note)
    known = {(key.name, key.key_hash): key for key in verifier_keys}
    signed = False
    for name, signature in signatures:
        key = known.get((name, signature[:4]))
        if key is None:
            continue
        if not key.verify(signature[4:], text.encode()):
            raise TamperedError(f"checkpoint: the signature of {name}+{signature[:4].hex()} does not fit its text")
        signed = True
    if not signed:
        expected = ", ".join(f"{key.name}+{key.key_hash.hex()}" for key in known.values()) or "no key at all"
        got = ", ".join(f"{name}+{signature[:4].hex()}" for name, signature in signatures)
        raise TamperedError(f"checkpoint: expected a signature by {expected}, got signatures by {got}")
    return text


def single_signature(note: str, key: VerifierKey) -> str:
    """Return `note` with `key`'s signature line alone, verified; raise `TamperedError` as `open_note` does."""
    open_note(note, [key])
    text, signatures = _split(note)
    mine = next(data for name, data in signatures if (name, data[:4]) == (key.name, key.key_hash))
    return f"{text}\n{_SIGNATURE_MARK}{key.name} {_encode(mine)}\n"


def tenant_of(note: str) -> UUID:
    """Return the tenant named in a note's first line, unverified: good for filing a note, not for trusting it."""
    origin = note.partition("\n")[0]
    try:
        tenant_id = UUID(origin.removeprefix(ORIGIN_PREFIX))
    except ValueError:
        tenant_id = None
    if tenant_id is None or origin != f"{ORIGIN_PREFIX}{tenant_id}":
        raise TamperedError(f"checkpoint: expected the first line {ORIGIN_PREFIX}<tenant uuid>, got {origin!r}")
    return tenant_id


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Take a signed note apart into its text and the (key name, key hash ‖ signature) of each signature line."""
    try:
        note.encode()
    except UnicodeEncodeError:
        _reject("text that UTF-8 can hold", "a lone surrogate")
    if any(letter < " " and letter != "\n" for letter in note):
        _reject("no control characters but newline", "one")
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        _reject(f"a text, a blank line and 1 to {MAX_SIGNATURES} signature lines", repr(note[:200]))
    return text + "\n", [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    name, space, encoded = line.removeprefix(_SIGNATURE_MARK).partition(" ")
    signature = _decode(encoded)
    if not line.startswith(_SIGNATURE_MARK) or not name or not space or len(signature) <= 4:
        _reject("a signature line '— <key name> <base64>'", repr(line))
    return name, signature


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        _, size, root, chain, time, _ = lines
        checkpoint = Checkpoint(
            tenant_id=tenant_of(text),
            size=int(size),
            root=_decode(root),
            chain_head=_decode(chain.removeprefix("chain ")),
            sealed_at=datetime.fromisoformat(time.removeprefix("time ")),
        )
    except (ValueError, ValidationError) as error:
        raise TamperedError(f"checkpoint: expected origin, size, root, chain and time, got {text!r}") from error
    # One comparison instead of a rule for each spelling: +5, 05, unpadded base64, other time zones, capital letters.
    if checkpoint.text() != text:
        _reject(repr(checkpoint.text()), repr(text))
    return checkpoint


def _reject(expected: str, got: str) -> NoReturn:
    raise TamperedError(f"checkpoint: expected {expected}, got {got}")


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or _encode(data) != text:
        _reject("canonical base64", repr(text))
    return data


class Anchor(Protocol):
    """A place outside the database that keeps checkpoints."""

    def publish(self, note: str) -> None:
        """Keep `note` durably before returning, or raise. Publishing one note twice does no harm."""


@dataclass(frozen=True, slots=True)
class AnchorLog:
    """What an anchor holds of one tenant: whole notes as written; in a file, the byte ranges `[start, end)` between."""

    notes: tuple[str, ...]
    damaged: tuple[tuple[int, int], ...]
    fragments: tuple[bytes, ...] = ()
    """What lies in each damaged range."""
    altered: tuple[str, ...] = ()
    """What cannot be as it was published, and not by a crash: a sentence each."""
    unread: tuple[str, ...] = ()
    """What is there and could not be read: a sentence each. It proves nothing."""
    elsewhere: tuple[tuple[str, "AnchorLog"], ...] = ()
    """Beside `notes`, which are those of all: what each further anchor holds, by its name."""

    def unexplained(self, notes: Iterable[str]) -> tuple[tuple[int, int], ...]:
        """Return the damaged ranges that no crash leaves: those that are not torn records of `notes`.

        A crash or a full disk leaves the beginning of a record, once or several times, and perhaps zeros where the file
        system had made room already.
        """
        wholes = [_record(note) for note in (*notes, *self.notes)] if self.damaged else []

        def is_torn(piece: bytes) -> bool:
            return any(whole.startswith(piece.rstrip(b"\0")) for whole in wholes)

        return tuple(
            place
            for place, fragment in zip(self.damaged, self.fragments, strict=True)
            if not all(map(is_torn, _RECORD_START.split(fragment)))
        )


_RECORD_START = re.compile(rb"(?=\n#)")
_HEADER = re.compile(rb"(?m)^# ([1-9][0-9]{0,5}) ([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class FileAnchor:
    r"""Append-only files in a folder, one per tenant: `<tenant uuid>.notes`.

    A record is `\n# <bytes of note> <SHA-256 of note, hex>\n<note>`. Its header begins with a newline of its own, so
    the record after a torn write starts on a new line and is found. A published note is on disk; a torn one was never
    acknowledged. Notes come back unverified: open them with `open_note`. Whoever can write to the folder can drop
    records: keep a copy elsewhere, or `chattr +a` the files.
    """

    directory: Path

    def publish(self, note: str) -> None:
        """Append `note` to its tenant's file and force it to disk; raises `OSError` if that fails."""
        record = _record(note)
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._path(tenant_of(note))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            # A write may be cut short on a full disk, and then the rest must not land behind somebody else's record.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            while record:
                record = record[os.write(descriptor, record) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(self.directory)

    def read(self, tenant_id: UUID) -> AnchorLog:
        """Return the notes kept for a tenant and the ranges of its file that are no whole record."""
        try:
            data = self._path(tenant_id).read_bytes()
        except FileNotFoundError:
            return AnchorLog((), ())
        return _read_records(data)

    def read_all(self) -> dict[UUID, list[str]]:
        """Return every tenant's notes, oldest first; damaged ranges are skipped and logged as warnings."""
        notes: dict[UUID, list[str]] = {}
        for tenant_id in self.tenants():
            log = self.read(tenant_id)
            for start, end in log.damaged:
                path = self._path(tenant_id)
                _LOG.warning("anchor file %s: bytes %d to %d are no whole record; they were skipped", path, start, end)
            notes[tenant_id] = list(log.notes)
        return notes

    def tenants(self) -> list[UUID]:
        """Return whose files are there, sorted; a file that is not named after a tenant is logged as a warning."""
        found = []
        for path in self.directory.glob("*.notes"):
            try:
                tenant_id = UUID(path.stem)
            except ValueError:
                tenant_id = None
            if tenant_id is None or path != self._path(tenant_id):
                _LOG.warning("anchor file %s is not named after a tenant; it was skipped", path)
                continue
            found.append(tenant_id)
        return sorted(found)

    def _path(self, tenant_id: UUID) -> Path:
        return self.directory / f"{tenant_id}.notes"


def _record(note: str) -> bytes:
    payload = note.encode()
    return b"\n# %d %s\n%s" % (len(payload), hashlib.sha256(payload).hexdigest().encode(), payload)


def _read_records(data: bytes) -> AnchorLog:
    notes: list[str] = []
    damaged: list[tuple[int, int]] = []
    end_of_last = search_from = 0
    while header := _HEADER.search(data, search_from):
        payload = data[header.end() : header.end() + int(header[1])]
        if len(payload) != int(header[1]) or hashlib.sha256(payload).hexdigest().encode() != header[2]:
            search_from = header.end()
            continue
        # No gap at all: a write torn before its last newline was made whole by the first newline of the next record.
        if data[end_of_last : header.start()] not in (b"\n", b""):
            damaged.append((end_of_last, header.start() - 1))
        notes.append(payload.decode(errors="replace"))
        end_of_last = search_from = header.end() + len(payload)
    if end_of_last < len(data):
        damaged.append((end_of_last, len(data)))
    return AnchorLog(tuple(notes), tuple(damaged), tuple(data[start:end] for start, end in damaged))
