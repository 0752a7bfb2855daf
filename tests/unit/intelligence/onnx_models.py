"""Sentence models of one's own that are small enough for a test: a word is a vector of two numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

WORDS = ("[UNK]", "user", "login", "success", "failure", "event")
TABLE = np.array([[1, 1], [3, 4], [0, 1], [1, 0], [-1, 0], [2, 1]], dtype=np.float32)


def write_model(
    folder: Path,
    *,
    is_pooled: bool = False,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
    words: int = len(WORDS),
    pooling: dict[str, Any] | None = None,
) -> Path:
    """Write `model.onnx` and `tokenizer.json`: the vectors of a text's words, or their sum."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["batch", "tokens"]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*names, 2])]
    if is_pooled:
        nodes.append(helper.make_node("ReduceSum", ["last_hidden_state", "axis"], ["sentence"], keepdims=0))
        outputs.append(helper.make_tensor_value_info("sentence", TensorProto.FLOAT, ["batch", 2]))
    # Read, so that they stay inputs of the graph.
    nodes += [helper.make_node("Identity", [name], [f"unused_{name}"]) for name in inputs[1:]]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.INT64, names) for name in inputs],
        outputs,
        [
            numpy_helper.from_array(TABLE[:words], "table"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: place for place, word in enumerate(WORDS)},
            "unk_token": "[UNK]",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    if pooling is not None:
        (folder / "1_Pooling").mkdir(exist_ok=True)
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder
