"""Changing the signing key: the new one takes over, the old one is destroyed, what it signed stays valid.

Beside `signing.key` lies `rotations.notes`: for each change one signed note in which the old key names the new one and
the new one agrees, so that an auditor who trusts a former key can follow to the present one, and nobody without the
present key can slip another into the line. The form is in docs/ledger_format.md. No private key is ever kept twice.
"""

import base64
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from audit_pipelines.errors import ConfigurationError, TamperedError, ValidationError
from audit_pipelines.ledger.keys import Signer, VerifierKey, exclusively, load, load_or_create, sync_directory

HISTORY_FILE: Final = "rotations.notes"
_TITLE: Final = "audit_pipelines key rotation"
_NOTE: Final = re.compile(
    f"{_TITLE}\nretired (?P<retired>.+)\nnext (?P<next>.+)\ntime (?P<time>.+)\n\n"
    "— (?P<retired_name>.+) (?P<retired_signature>.+)\n— (?P<next_name>.+) (?P<next_signature>.+)\n"
)


@dataclass(frozen=True, slots=True)
class Rotation:
    """One change of key: `retired` signed until `moment` (aware, by the machine's clock), `successor` from then on."""

    retired: VerifierKey
    successor: VerifierKey
    moment: datetime
    note: str
    """The statement, signed by both keys."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key that signs now and every change that led to it, oldest first."""

    signer: Signer
    rotations: tuple[Rotation, ...]

    @property
    def unfinished(self) -> Rotation | None:
        """The last change, where its new key does not sign yet: it was interrupted, or goes on right now."""
        last = self.rotations[-1] if self.rotations else None
        return last if last and last.successor != self.signer.verifier_key else None

    @property
    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """Every key that signed, signs or is about to sign: the present one first, then the others, newest first."""
        others = (key for change in reversed(self.rotations) for key in (change.successor, change.retired))
        return tuple(dict.fromkeys((self.signer.verifier_key, *others)))


def open_ring(path: Path) -> KeyRing:
    """Return the key in `path` and the changes recorded beside it.

    Every signature of the record is checked, and that it leads from key to key to the one in `path`. Safe while
    another process rotates: the change is on disk before the key that it announces.

    Raises:
        FileNotFoundError: when there is no key.
        ConfigurationError: when the key is not safe, or is not the one that the record ends with.
        TamperedError: when the record was changed.
    """
    # In this order: a key that is read is always announced in a record that is read after it.
    signer = load(path)
    rotations = read_history(path.with_name(HISTORY_FILE))
    if rotations and signer.verifier_key not in {rotations[-1].successor, rotations[-1].retired}:
        raise ConfigurationError(
            f"{path}: expected the key {rotations[-1].successor}, with which {HISTORY_FILE} ends, "
            f"got {signer.verifier_key}; restore both files from one backup"
        )
    return KeyRing(signer, rotations)


def rotate(path: Path) -> Rotation:
    """Put a new key in the place of the one in `path` and return the record of the change.

    The new key is on disk before it is announced, and announced before it signs. A crash in between leaves the old key
    signing and the new one in `<name>.next`; the next call then finishes that change instead of beginning another.
    Calls at once take turns. The old private key is gone afterwards, as far as the file system forgets.

    Raises:
        ConfigurationError: when there is no key to replace, or it is not safe or already retired.
        TamperedError: when the record of former changes was altered.
    """
    draft = path.with_name(f"{path.name}.next")
    with exclusively(path.parent):
        try:
            ring = open_ring(path)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path}: expected the signing key to be replaced, got no file; it is made at the first start"
            ) from None
        announced = ring.unfinished
        if announced and not draft.exists():
            raise ConfigurationError(
                f"{path} holds the key that was retired at {_format(announced.moment)}; "
                f"expected {announced.successor}: restore the file from a later backup"
            )
        successor = load_or_create(draft, ring.signer.name)
        if announced and announced.successor != successor.verifier_key:
            raise ConfigurationError(f"{draft}: expected the key {announced.successor}, got another; restore it")
        if announced is None:
            announced = announce(ring.signer, successor, datetime.now(UTC))
            _replace(path.with_name(HISTORY_FILE), "".join(item.note for item in (*ring.rotations, announced)))
        draft.replace(path)
        sync_directory(path.parent)
        return announced


def announce(signer: Signer, successor: Signer, moment: datetime) -> Rotation:
    """Return the record of a change from `signer` to `successor`, signed by both; `moment` is aware."""
    text = _text(signer.verifier_key, successor.verifier_key, moment)
    lines = [_signature_line(key.verifier_key, key.sign(text.encode())) for key in (signer, successor)]
    return Rotation(signer.verifier_key, successor.verifier_key, moment, f"{text}\n{''.join(lines)}")


def read_history(path: Path) -> tuple[Rotation, ...]:
    """Return the changes recorded in `path`, oldest first; none without the file.

    Raises:
        TamperedError: when a note is malformed, a signature does not fit, or one change does not follow on the other.
    """
    try:
        return parse_history(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (TamperedError, UnicodeDecodeError) as error:
        raise TamperedError(f"{path}: {error}; restore it from a backup, former checkpoints depend on it") from error


def parse_history(text: str) -> tuple[Rotation, ...]:
    """Return the changes in `text`, the notes one behind the other; raises as `read_history`."""
    rotations: list[Rotation] = []
    at = 0
    while at < len(text):
        match = _NOTE.match(text, at)
        if match is None:
            raise TamperedError(f"expected a note of a key rotation, got {text[at : at + 80]!r}")
        rotations.append(_checked(match))
        at = match.end()
    for before, after in pairwise(rotations):
        if before.successor != after.retired:
            raise TamperedError(f"expected the change after {before.successor} to retire it, got {after.retired}")
    return tuple(rotations)


def _checked(match: re.Match[str]) -> Rotation:
    try:
        retired, successor = VerifierKey.parse(match["retired"]), VerifierKey.parse(match["next"])
        moment = datetime.fromisoformat(match["time"])
        signatures = [base64.b64decode(match[f"{which}_signature"], validate=True)[4:] for which in ("retired", "next")]
    except (ValidationError, ValueError) as error:
        raise TamperedError(f"expected two keys, a time and two signatures: {error}") from error
    text = _text(retired, successor, moment)
    lines = [_signature_line(key, signature) for key, signature in zip((retired, successor), signatures, strict=True)]
    # One comparison instead of a rule for each other spelling of times, names and base64.
    if f"{text}\n{''.join(lines)}" != match[0]:
        raise TamperedError("the note of a key rotation is not spelled as it was written")
    for key, signature in zip((retired, successor), signatures, strict=True):
        if not key.verify(signature, text.encode()):
            raise TamperedError(f"the note of a key rotation is not signed by {key}")
    return Rotation(retired, successor, moment, match[0])


def _text(retired: VerifierKey, successor: VerifierKey, moment: datetime) -> str:
    return f"{_TITLE}\nretired {retired}\nnext {successor}\ntime {_format(moment)}\n"


def _signature_line(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {base64.b64encode(key.key_hash + signature).decode()}\n"


def _format(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _replace(path: Path, text: str) -> None:
    """Put `text` in `path`, whole and on disk, or leave what was there; the caller holds the folder's lock."""
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    sync_directory(path.parent)
