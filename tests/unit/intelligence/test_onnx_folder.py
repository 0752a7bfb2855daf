from pathlib import Path

import numpy as np
import pytest

from audit_pipelines.errors import ConfigurationError
from audit_pipelines.intelligence.embed import Embedder
from audit_pipelines.intelligence.onnx_folder import OnnxFolderEmbedder, Pooling
from tests.unit.intelligence.onnx_models import write_model


def unit(*vector: float) -> list[float]:
    return list(np.array(vector) / np.linalg.norm(vector))


def test_vectors_of_words_become_their_mean(tmp_path: Path) -> None:
    embedder: Embedder = OnnxFolderEmbedder(write_model(tmp_path / "own"))
    assert (embedder.name, embedder.dimension) == ("own", 2)
    vectors = embedder.encode(["user login", "login", "user"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [unit(3, 5), unit(0, 1), unit(3, 4)], atol=1e-6)
    assert embedder.encode([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("asked", "written", "expected"),
    [
        ("cls", None, unit(0, 1)),
        (None, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, unit(0, 1)),
        (None, {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 2}, unit(3, 5)),
        ("mean", {"pooling_mode_cls_token": True}, unit(3, 5)),
    ],
)
def test_pooling_is_configured_or_found(
    tmp_path: Path, asked: Pooling | None, written: dict | None, expected: list[float]
) -> None:
    embedder = OnnxFolderEmbedder(write_model(tmp_path, pooling=written), asked)
    np.testing.assert_allclose(embedder.encode(["login user"]), [expected], atol=1e-6)


def test_a_pooling_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    embedder = OnnxFolderEmbedder(write_model(tmp_path, pooling={"pooling_mode_max_tokens": True}))
    with pytest.raises(ConfigurationError, match=r"got pooling_mode_max_tokens; set AUDIT_EMBEDDING_POOLING"):
        embedder.digest  # noqa: B018 — reading it is what fails


def test_an_output_with_one_vector_a_text_is_taken_as_it_is(tmp_path: Path) -> None:
    embedder = OnnxFolderEmbedder(write_model(tmp_path, is_pooled=True), "cls")
    np.testing.assert_allclose(embedder.encode(["login user"]), [unit(3, 5)], atol=1e-6)


def test_token_types_are_given_to_a_graph_that_wants_them(tmp_path: Path) -> None:
    folder = write_model(tmp_path, inputs=("input_ids", "attention_mask", "token_type_ids"))
    np.testing.assert_allclose(OnnxFolderEmbedder(folder).encode(["user"]), [unit(3, 4)], atol=1e-6)


def test_the_digest_is_of_graph_weights_tokenizer_and_pooling(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a")
    digests = {OnnxFolderEmbedder(folder).digest, OnnxFolderEmbedder(folder, "cls").digest}
    assert OnnxFolderEmbedder(write_model(tmp_path / "b")).digest in digests, "the folder's name is not in it"
    for name, added in (("tokenizer.json", " "), ("model.onnx", ""), ("model.onnx_data", "weights")):
        with (folder / name).open("a") as file:
            file.write(added or "\0")
        digests.add(OnnxFolderEmbedder(folder).digest)
    assert len(digests) == 5


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_says_which(tmp_path: Path, missing: str) -> None:
    (write_model(tmp_path) / missing).unlink()
    for use in (lambda each: each.digest, lambda each: each.dimension, lambda each: each.encode(["a"])):
        with pytest.raises(ConfigurationError, match=f"found no {missing}"):
            use(OnnxFolderEmbedder(tmp_path))


@pytest.mark.parametrize(("name", "content"), [("model.onnx", b"not a graph"), ("tokenizer.json", b"{}")])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (write_model(tmp_path) / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match="could not load them"):
        OnnxFolderEmbedder(tmp_path).encode(["user"])


def test_a_graph_that_wants_something_else_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, inputs=("input_ids", "pixel_values"))
    with pytest.raises(ConfigurationError, match=r"expected inputs .* got input_ids, pixel_values"):
        OnnxFolderEmbedder(folder).encode(["user"])


def test_a_tokenizer_of_another_model_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected files of one model"):
        OnnxFolderEmbedder(write_model(tmp_path, words=2)).encode(["user event"])


def test_a_vector_that_is_zero_is_refused(tmp_path: Path) -> None:
    embedder = OnnxFolderEmbedder(write_model(tmp_path))
    with pytest.raises(ConfigurationError, match="expected finite vectors"):
        embedder.encode(["success failure"])
