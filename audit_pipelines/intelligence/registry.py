"""Trained models as files whose name is the digest of their content.

Here: how arrays and metadata become one file and come back verified. Not here: what a model means (`detectors`,
`classifiers`) or which one is in use (the table `audit_ml_models`). It exists because a score is only evidence if the
exact model behind it can be named and fetched again: pickle would run code on load, and joblib files differ by run.
"""

import hashlib
import io
import json
import os
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audit_pipelines.errors import ConfigurationError, TamperedError, ValidationError

Arrays = Mapping[str, NDArray[Any]]

_DOMAIN: Final = b"audit_pipelines/artefact/v1"
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ARRAY_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_METADATA: Final = "metadata.json"
_CREATED: Final = "created_at.txt"
# A zip member carries a time; a fixed one makes equal artefacts equal files.
_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
# The archive's comment is the SHA-256 (hex) of all bytes before it. The digest covers the content alone: a zip has
# bytes that say nothing, and one of those changed is a file that somebody touched, too.
_SEAL: Final = 64
_DTYPE_KINDS: Final = "biufUS"
# What zipfile, zlib, numpy and json raise on altered bytes, found by altering each byte of an artefact in turn.
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    ValueError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
    OverflowError,
    ValidationError,
)


@dataclass(frozen=True)
class ModelArtefact:
    """A trained model: its kind, its arrays and all that is known of how it came about.

    Make one with `build`. `digest` covers kind, arrays (name, type, shape, values) and metadata, and not `created_at`:
    training again on the same events with the same code gives the same digest.
    """

    kind: str
    arrays: Arrays
    metadata: Mapping[str, Any]
    created_at: datetime
    digest: str

    @classmethod
    def build(
        cls, kind: str, arrays: Arrays, metadata: Mapping[str, Any], created_at: datetime | None = None
    ) -> "ModelArtefact":
        """Take copies of arrays and metadata and compute the digest.

        Arrays may be of booleans, integers, floats or text; metadata must be JSON (finite numbers, string keys). By
        convention metadata holds `params, feature_names, trained_from, trained_to, rows, code_version, metrics,
        inputs_digest`. Raises `ValidationError` for anything else.
        """
        if not _KIND.fullmatch(kind):
            raise ValidationError(f"expected a model kind such as anomaly_detector, got {kind!r}")
        plain = {name: _portable(name, array) for name, array in sorted(arrays.items())}
        content = _canonical(metadata)
        digest = _digest(kind, plain, content)
        moment = created_at or datetime.now(UTC)
        if moment.tzinfo is None:
            raise ValidationError(f"expected created_at with a time zone, got {moment.isoformat()}")
        return cls(kind, MappingProxyType(plain), MappingProxyType(json.loads(content)), moment, digest)


def artefact_path(root: Path, kind: str, digest: str) -> Path:
    """Return where an artefact lies: `<root>/ml_models/<kind>/<digest>.npz`; `root` is the storage folder."""
    if not _KIND.fullmatch(kind) or not _DIGEST.fullmatch(digest):
        raise ValidationError(f"expected a model kind and a digest of 64 hex digits, got {kind!r} and {digest!r}")
    return root / "ml_models" / kind / f"{digest}.npz"


def save(artefact: ModelArtefact, root: Path) -> Path:
    """Write an artefact and return its path; the file is whole or absent, also after a crash.

    Where the same digest was saved before, the first file and its `created_at` stay.
    """
    path = artefact_path(root, artefact.kind, artefact.digest)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as temporary:
        try:
            temporary.write(_to_npz(artefact))
            temporary.flush()
            os.fsync(temporary.fileno())
            Path(temporary.name).replace(path)
        except BaseException:
            Path(temporary.name).unlink(missing_ok=True)
            raise
    return path


def load(root: Path, kind: str, digest: str) -> ModelArtefact:
    """Read an artefact back and verify that its content has the digest that its record vouches for.

    Raises `ConfigurationError` where the file is absent and `TamperedError` where it is not what was recorded. Never
    unpickles.
    """
    path = artefact_path(root, kind, digest)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            f"expected the model artefact {kind}/{digest}.npz in {root / 'ml_models'}, found none; "
            f"restore the file or train again: audit-pipelines train --model {kind}"
        ) from None
    try:
        artefact = _from_npz(kind, content)
    except _UNREADABLE as error:
        raise TamperedError(
            f"model artefact {path.name}: expected a readable artefact, got: {error}; train again"
        ) from error
    if artefact.digest != digest:
        raise TamperedError(
            f"model artefact of kind {kind}: expected digest {digest}, got {artefact.digest}; train again"
        )
    return artefact


def _portable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only copy, little-endian and row by row, so that its bytes are the same on every machine."""
    values = np.asarray(array)
    if not _ARRAY_NAME.fullmatch(name):
        raise ValidationError(f"expected an array name of letters, digits and _, got {name!r}")
    if values.dtype.kind not in _DTYPE_KINDS:
        raise ValidationError(f"array {name}: expected booleans, numbers or text, got {values.dtype}")
    copy = np.array(values, dtype=values.dtype.newbyteorder("<"), order="C", copy=True)
    copy.flags.writeable = False
    return copy


def _canonical(metadata: Mapping[str, Any]) -> bytes:
    if any(not isinstance(key, str) for key in metadata):
        raise ValidationError(f"expected metadata with string keys, got {sorted(map(repr, metadata))}")
    try:
        return json.dumps(
            dict(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (TypeError, ValueError) as error:
        raise ValidationError(f"expected metadata that is JSON with finite numbers: {error}") from error


def _digest(kind: str, arrays: Arrays, metadata: bytes) -> str:
    """SHA-256 over length-prefixed parts; not over the file, whose compression depends on the zlib at hand."""
    state = hashlib.sha256(_DOMAIN)

    def part(content: bytes) -> None:
        state.update(len(content).to_bytes(8, "big"))
        state.update(content)

    part(kind.encode())
    part(metadata)
    for name, array in sorted(arrays.items()):
        part(name.encode())
        part(array.dtype.str.encode())
        part(json.dumps(array.shape).encode())
        part(array.tobytes())
    return state.hexdigest()


def _to_npz(artefact: ModelArtefact) -> bytes:
    """`numpy.load` reads the arrays; the two text members are for people and for `load`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:

        def member(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)

        for name, array in sorted(artefact.arrays.items()):
            held = io.BytesIO()
            np.lib.format.write_array(held, array, allow_pickle=False)
            member(f"{name}.npy", held.getvalue())
        member(_METADATA, _canonical(artefact.metadata))
        member(_CREATED, artefact.created_at.astimezone(UTC).isoformat().encode())
        archive.comment = bytes(_SEAL)
    content = buffer.getvalue()[:-_SEAL]
    return content + hashlib.sha256(content).hexdigest().encode()


def _from_npz(kind: str, content: bytes) -> ModelArtefact:
    if hashlib.sha256(content[:-_SEAL]).hexdigest().encode() != content[-_SEAL:]:
        raise ValidationError("expected a file that ends with the SHA-256 of what is before, got another end")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        arrays = {
            name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in archive.namelist()
            if name.endswith(".npy")
        }
        metadata = json.loads(archive.read(_METADATA))
        created_at = datetime.fromisoformat(archive.read(_CREATED).decode())
    return ModelArtefact.build(kind, arrays, metadata, created_at)
