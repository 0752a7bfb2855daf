import hashlib
import os
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from audit_pipelines.errors import ConfigurationError, TamperedError, ValidationError
from audit_pipelines.intelligence import registry
from audit_pipelines.intelligence.registry import ModelArtefact, artefact_path, load, save

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ARRAYS = {
    "trees": np.arange(12, dtype=np.float32).reshape(3, 4),
    "names": np.array(["rarity", "übergabe"]),
    "empty": np.zeros((0, 5)),
    "flags": np.array([True, False]),
}
METADATA = {"params": {"trees": 100}, "feature_names": ["a", "b"], "rows": 49951, "metrics": {"ap": 0.25, "note": None}}


def artefact(**changes):
    given = {"kind": "anomaly_detector", "arrays": ARRAYS, "metadata": METADATA, "created_at": NOON, **changes}
    return ModelArtefact.build(**given)


def test_what_is_saved_comes_back(tmp_path):
    saved = artefact()
    path = save(saved, tmp_path)
    assert path == tmp_path / "ml_models" / "anomaly_detector" / f"{saved.digest}.npz"
    back = load(tmp_path, "anomaly_detector", saved.digest)
    assert dict(back.metadata) == METADATA
    assert back.created_at == NOON
    assert back.digest == saved.digest
    assert sorted(back.arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back.arrays[name], array)
        assert back.arrays[name].dtype == array.dtype


def test_numpy_reads_the_arrays_without_pickle(tmp_path):
    path = save(artefact(), tmp_path)
    with np.load(path, allow_pickle=False) as opened:
        np.testing.assert_array_equal(opened["trees"], ARRAYS["trees"])


def test_the_digest_is_of_the_content_and_not_of_the_moment_the_order_or_the_layout():
    digest = artefact().digest
    assert artefact(created_at=NOON + timedelta(days=1)).digest == digest
    assert artefact(arrays=dict(reversed(ARRAYS.items())), metadata=dict(reversed(METADATA.items()))).digest == digest
    assert artefact(arrays={**ARRAYS, "trees": np.asfortranarray(ARRAYS["trees"])}).digest == digest
    assert artefact(arrays={**ARRAYS, "trees": ARRAYS["trees"].astype(">f4")}).digest == digest


def test_the_digest_of_format_1_never_changes():
    fixed = ModelArtefact.build("demo", {"a": np.array([1.0, 2.0])}, {"b": 1}, NOON)
    assert fixed.digest == "2be911a14b54ea14502988261dbc74b0d0732e10dde0a3dcbe092333d64e2aa9"


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "risk_classifier"},
        {"metadata": {**METADATA, "rows": 49952}},
        {"arrays": {**ARRAYS, "trees": ARRAYS["trees"] + np.float32(1e-6)}},
        {"arrays": {**ARRAYS, "trees": ARRAYS["trees"].reshape(4, 3)}},
        {"arrays": {**ARRAYS, "trees": ARRAYS["trees"].view(np.int32)}},
        {"arrays": {**{k: v for k, v in ARRAYS.items() if k != "trees"}, "forest": ARRAYS["trees"]}},
    ],
)
def test_every_part_of_the_content_is_in_the_digest(changes):
    assert artefact(**changes).digest != artefact().digest


def test_equal_artefacts_are_equal_files(tmp_path):
    one, two = save(artefact(), tmp_path / "a"), save(artefact(), tmp_path / "b")
    assert one.read_bytes() == two.read_bytes()


def test_saving_again_keeps_the_first(tmp_path):
    first = save(artefact(), tmp_path)
    again = save(artefact(created_at=NOON + timedelta(hours=1)), tmp_path)
    assert again == first
    assert load(tmp_path, "anomaly_detector", artefact().digest).created_at == NOON
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_other_content_under_a_recorded_digest_is_refused(tmp_path):
    expected = artefact().digest
    other = artefact(metadata={**METADATA, "rows": 1})
    path = artefact_path(tmp_path, "anomaly_detector", expected)
    path.parent.mkdir(parents=True)
    path.write_bytes(registry._to_npz(other))
    with pytest.raises(TamperedError, match=f"expected digest {expected}, got {other.digest}"):
        load(tmp_path, "anomaly_detector", expected)


def test_a_file_with_one_byte_changed_is_refused(tmp_path):
    small = artefact(arrays={"trees": ARRAYS["trees"]})
    path = save(small, tmp_path)
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(TamperedError):
            load(tmp_path, "anomaly_detector", small.digest)
    path.write_bytes(content[:-1])
    with pytest.raises(TamperedError):
        load(tmp_path, "anomaly_detector", small.digest)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip" * 100])
def test_rubbish_is_refused(tmp_path, content):
    path = save(artefact(), tmp_path)
    path.write_bytes(content)
    with pytest.raises(TamperedError, match="expected a readable artefact"):
        load(tmp_path, "anomaly_detector", artefact().digest)


def test_a_pickle_inside_is_never_run(tmp_path):
    path = save(artefact(), tmp_path)
    bad = np.empty(1, dtype=object)
    bad[0] = Path
    np.savez(path, trees=bad)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("created_at.txt", NOON.isoformat())
        archive.comment = bytes(64)
    content = path.read_bytes()[:-64]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    with pytest.raises(TamperedError, match="allow_pickle"):
        load(tmp_path, "anomaly_detector", artefact().digest)


def test_an_absent_artefact_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationError, match="train --model anomaly_detector"):
        load(tmp_path, "anomaly_detector", "0" * 64)


def test_a_crash_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save(artefact(), tmp_path)
    assert list((tmp_path / "ml_models" / "anomaly_detector").iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "../escape"},
        {"kind": "Upper"},
        {"arrays": {"a": np.array([object()])}},
        {"arrays": {"../a": np.zeros(1)}},
        {"arrays": {"when": np.array(["2026-01-01"], dtype="datetime64[D]")}},
        {"metadata": {"score": float("nan")}},
        {"metadata": {"when": NOON}},
        {"metadata": {1: "number as key"}},
        {"created_at": NOON.replace(tzinfo=None)},
    ],
)
def test_what_would_not_come_back_the_same_is_refused(changes):
    with pytest.raises(ValidationError):
        artefact(**changes)


def test_a_path_outside_the_storage_is_refused(tmp_path):
    with pytest.raises(ValidationError):
        artefact_path(tmp_path, "anomaly_detector", "../../etc/passwd")


def test_an_artefact_does_not_change_after_it_is_built():
    mine = ARRAYS["trees"].copy()
    built = artefact(arrays={"trees": mine})
    mine[0, 0] = 99
    assert built.arrays["trees"][0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        built.arrays["trees"][0, 0] = 99
