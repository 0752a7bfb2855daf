"""Vectors of the sentences that kinds of event are read as: made once for each installation and model, kept in a file.

A kind has about ten sentences (`intelligence.search.readings`), a tenant a hundred kinds: 4 s of one processor. The
pipeline pays them when it embeds what is new, else the first question does. The file holds hashes and vectors, no
sentence; it can be deleted, and is made again.
"""

import hashlib
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np

from audit_pipelines.files import replacing
from audit_pipelines.installation import Installation
from audit_pipelines.intelligence.embed import Embedder, Vectors
from audit_pipelines.intelligence.search.readings import Reading, readings

_DIGEST_BYTES: Final = 16


class ReadingVectors:
    """What one model makes of the readings of kinds; safe to share between threads."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._path = folder / f"readings-{embedder.digest[:16]}.npz"
        self._embedder = embedder
        self._lock = Lock()
        self._rows: dict[bytes, Vectors] = {}
        self._stacked: tuple[frozenset[Reading], list[Reading], Vectors] | None = None

    def nearness(self, kinds: Collection[Reading], vector: Vectors) -> Mapping[Reading, float]:
        """Return for each kind the cosine of its nearest sentence to a unit vector."""
        with self._lock:
            if self._stacked is None or self._stacked[0] != frozenset(kinds):
                self._stacked = self._stack(kinds)
            _, of, matrix = self._stacked
        nearest: dict[Reading, float] = {}
        for kind, cosine in zip(of, (matrix @ vector).tolist(), strict=True):
            nearest[kind] = max(cosine, nearest.get(kind, -1.0))
        return nearest

    def learn(self, kinds: Collection[Reading]) -> int:
        """Make the vectors that are missing for some kinds; return how many those are."""
        with self._lock:
            return self._learn({_key(sentence): sentence for kind in kinds for sentence in readings(*kind)})

    def _stack(self, kinds: Collection[Reading]) -> tuple[frozenset[Reading], list[Reading], Vectors]:
        pairs = [(kind, sentence) for kind in sorted(kinds) for sentence in readings(*kind)]
        self._learn({_key(sentence): sentence for _, sentence in pairs})
        rows = [self._rows[_key(sentence)] for _, sentence in pairs]
        empty = np.empty((0, self._embedder.dimension), dtype=np.float32)
        return frozenset(kinds), [kind for kind, _ in pairs], np.stack(rows).astype(np.float32) if rows else empty

    def _learn(self, sentences: Mapping[bytes, str]) -> int:
        if not sentences.keys() <= self._rows.keys():
            # Another process may have made them meanwhile.
            self._rows |= _read(self._path)
        missing = {key: sentence for key, sentence in sentences.items() if key not in self._rows}
        if missing:
            vectors = self._embedder.encode(list(missing.values())).astype(np.float16)
            self._rows |= dict(zip(missing, vectors, strict=True))
            _write(self._path, self._rows)
        return len(missing)


def of_installation(installation: Installation, embedder: Embedder) -> ReadingVectors:
    """Return what an installation keeps for a model: beside the model."""
    return ReadingVectors(installation.settings.storage_dir / "embedders", embedder)


def _key(sentence: str) -> bytes:
    return hashlib.sha256(sentence.encode()).digest()[:_DIGEST_BYTES]


def _read(path: Path) -> dict[bytes, Vectors]:
    """Return what a file holds; nothing where there is none, or one that is cut off or not ours."""
    if not zipfile.is_zipfile(path):
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            keys, vectors = file["keys"], file["vectors"]
        return {bytes(key): vector for key, vector in zip(keys, vectors, strict=True)}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}


def _write(path: Path, rows: Mapping[bytes, Vectors]) -> None:
    """Replace the file at once; the last of two processes wins, and what the other made is made again."""
    keys = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
    with replacing(path) as staging, staging.open("wb") as file:
        np.savez(file, keys=keys, vectors=np.stack(list(rows.values())))
