"""Truth on disk: what is written is read, and what is no truth is refused line by line."""

import pytest

from audit_pipelines.errors import ValidationError
from audit_pipelines.generator import TruthLabel, read_truth, write_truth

TRUTH = [
    TruthLabel("0b4fa8a4-3a9c-4a52-8a5e-6f6f1f1f7a01", "incident-01", "mass_export", core=True),
    TruthLabel("0b4fa8a4-3a9c-4a52-8a5e-6f6f1f1f7a02", "incident-02", "log_tampering", core=False),
]


@pytest.mark.parametrize("name", ["truth.csv", "truth.ndjson"])
def test_round_trip(tmp_path, name):
    path = tmp_path / name
    write_truth(path, TRUTH)
    assert read_truth(path) == TRUTH


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("t.csv", "event_id,incident_id,kind,core\na,b,mass_export,1\na,b,jaywalking,1\n", "3"),
        ("t.csv", "event_id,incident_id\na,b\n", "2"),
        ("t.csv", "event_id,incident_id,kind,core\na,b,mass_export,1,surplus\n", "2"),
        ("t.ndjson", '{"event_id":"a","incident_id":"b","kind":"mass_export","core":true}\nnonsense\n', "2"),
    ],
)
def test_faults_carry_their_line(tmp_path, name, text, line):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValidationError, match="expected labels") as caught:
        read_truth(path)
    assert [where for where, _what in caught.value.faults] == [line]
