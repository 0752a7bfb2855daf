"""A sentence model of one's own: a folder with `model.onnx` and `tokenizer.json`, as exporters write it.

Here: what such a folder must hold, its digest, and how its output becomes one vector a text. Not here: sessions and
batches (`embed`). Nothing is downloaded, and no code of the folder is run.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.intelligence.embed import MAX_TOKENS, Vectors, open_session, run_batches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Pooling = Literal["mean", "cls"]

_GRAPH: Final = "model.onnx"
_TOKENIZER: Final = "tokenizer.json"
# What exporters of sentence-transformers write beside the graph.
_POOLING: Final = Path("1_Pooling", "config.json")
_INPUTS: Final = {"input_ids", "attention_mask", "token_type_ids"}
_HELP: Final = "see AUDIT_EMBEDDING_MODEL_DIR in docs/configuration.md"


@dataclass(frozen=True)
class _Loaded:
    session: Any
    tokenizer: "Tokenizer"
    inputs: frozenset[str]
    output: str
    is_pooled: bool


class OnnxFolderEmbedder:
    """Runs the model of a folder on the processor.

    An output with one vector a text is taken as it is; one with a vector a token is pooled: as `pooling` says, else as
    the folder's `1_Pooling/config.json` says, else by the mean. Vectors are brought to length 1. Safe to share between
    threads; files are read at first use.

    Raises `ConfigurationError`, from every property and method, where the folder is no such model.
    """

    def __init__(self, folder: Path, pooling: Pooling | None = None, threads: int = 2) -> None:
        self.folder = folder
        self._asked_pooling = pooling
        self._threads = threads
        self._lock = Lock()
        self._loaded: _Loaded | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @cached_property
    def dimension(self) -> int:
        """Length of each vector, found by embedding one word."""
        return int(self._forward(self._load(), _feed_of_one(self._load())).shape[1])

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over the graph with its weights, the tokenizer and the pooling."""
        state = hashlib.sha256(f"onnx folder 1/{self.pooling}/{MAX_TOKENS}".encode())
        self._require_files()
        # Graphs beyond 2 GB keep their weights in files beside them: model.onnx_data, model.onnx.data.
        for path in sorted([*self.folder.glob(f"{_GRAPH}*"), self.folder / _TOKENIZER]):
            with path.open("rb") as file:
                state.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
        return state.hexdigest()

    @cached_property
    def pooling(self) -> Pooling:
        """How the vectors of tokens become one."""
        path = self.folder / _POOLING
        if self._asked_pooling or not path.is_file():
            return self._asked_pooling or "mean"
        try:
            modes = {key for key, on in json.loads(path.read_text()).items() if key.startswith("pooling_mode_") and on}
        except (ValueError, AttributeError):
            modes = set()
        if modes == {"pooling_mode_mean_tokens"}:
            return "mean"
        if modes == {"pooling_mode_cls_token"}:
            return "cls"
        raise ConfigurationError(
            f"{path}: expected pooling by mean or by the first token, got {', '.join(sorted(modes)) or 'neither'}; "
            "set AUDIT_EMBEDDING_POOLING to mean or cls if the model may be used so"
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a text, float32 `[len(texts), dimension]`; text beyond 256 tokens is cut off."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        loaded = self._load()
        return run_batches(loaded.tokenizer, texts, self.dimension, lambda feed: self._forward(loaded, feed))

    def _forward(self, loaded: _Loaded, feed: dict[str, NDArray[np.int64]]) -> Vectors:
        given = feed | {"token_type_ids": np.zeros_like(feed["input_ids"])}
        try:
            hidden = loaded.session.run([loaded.output], {name: given[name] for name in loaded.inputs})[0]
        except Exception as error:
            raise ConfigurationError(
                f"{self.folder / _GRAPH} could not be run on what {_TOKENIZER} makes of a text: "
                f"{_first_line(error)}; expected files of one model"
            ) from error
        hidden = np.asarray(hidden, dtype=np.float32)
        if loaded.is_pooled:
            vectors = hidden
        elif self.pooling == "cls":
            vectors = hidden[:, 0]
        else:
            weights = feed["attention_mask"][:, :, None].astype(np.float32)
            vectors = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(vectors).all() or not lengths.all():
            raise ConfigurationError(f"{self.folder / _GRAPH}: expected finite vectors, got others; {_HELP}")
        unit: Vectors = vectors / lengths
        return unit

    def _require_files(self) -> None:
        missing = [name for name in (_GRAPH, _TOKENIZER) if not (self.folder / name).is_file()]
        if missing:
            raise ConfigurationError(
                f"{self.folder}: expected a folder with {_GRAPH} and {_TOKENIZER}, found no "
                f"{' and no '.join(missing)}; {_HELP}"
            )

    def _load(self) -> _Loaded:
        from tokenizers import Tokenizer  # noqa: PLC0415 — with onnxruntime 0.5 s, for those who embed

        with self._lock:
            if self._loaded is None:
                self._require_files()
                try:
                    session = open_session(self.folder / _GRAPH, self._threads)
                    tokenizer = Tokenizer.from_file(str(self.folder / _TOKENIZER))
                except Exception as error:
                    raise ConfigurationError(
                        f"{self.folder}: expected an ONNX graph and the tokenizer of Hugging Face's library, could not "
                        f"load them: {_first_line(error)}"
                    ) from error
                tokenizer.no_padding()
                tokenizer.enable_truncation(MAX_TOKENS)
                self._loaded = self._understood(session, tokenizer)
            return self._loaded

    def _understood(self, session: Any, tokenizer: "Tokenizer") -> _Loaded:
        inputs = frozenset(one.name for one in session.get_inputs())
        if not {"input_ids"} <= inputs <= _INPUTS:
            raise ConfigurationError(
                f"{self.folder / _GRAPH}: expected inputs input_ids, attention_mask and token_type_ids, got "
                f"{', '.join(sorted(inputs))}; {_HELP}"
            )
        outputs = [(one.name, len(one.shape)) for one in session.get_outputs()]
        for rank in (2, 3):
            fitting = [name for name, axes in outputs if axes == rank and name != "pooler_output"]
            if fitting:
                return _Loaded(session, tokenizer, inputs, fitting[0], is_pooled=rank == 2)
        raise ConfigurationError(
            f"{self.folder / _GRAPH}: expected an output of [texts, numbers] or [texts, tokens, numbers], got "
            f"{', '.join(f'{name} of {axes} axes' for name, axes in outputs)}; {_HELP}"
        )


def _feed_of_one(loaded: _Loaded) -> dict[str, NDArray[np.int64]]:
    ids = np.array([loaded.tokenizer.encode("event").ids], dtype=np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
