"""The command `evaluate`, from a folder on disk to what it prints."""

import json

import pytest
from test_labelled_datasets import folder, neutral
from typer.testing import CliRunner

from audit_pipelines import cli, cli_evaluate


def run(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["evaluate", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    monkeypatch.setattr(cli_evaluate.out, "_width", 80)
    rows = [neutral(minute, actor=f"p{minute % 4}") for minute in range(300)]
    rows.append(neutral(301, actor="p1", event_type="iam.key.create", ip_address="203.0.113.9"))
    return folder(tmp_path / "set", rows, [f"{len(rows)},attack,stolen_key"])


def test_a_folder_is_judged_beside_its_peers_and_printed_in_eighty_characters(labelled):
    shown = run(labelled)
    assert max(map(len, shown.splitlines())) <= 80
    for name in ("audit-pipelines", "IsolationForest", "LOF", "ECOD", "HBOS", "AP actor-days", "stolen_key"):
        assert name in shown
    assert "…" not in shown


def test_json_says_the_same(labelled):
    (report,) = json.loads(run(labelled, "--no-peers", "--json"))
    assert (report["events"], report["attacks"]) == (301, 1)
    assert [each["detector"] for each in report["judgements"]] == ["audit-pipelines"]


def test_what_is_no_dataset_is_refused_in_words(tmp_path):
    with pytest.raises(Exception, match="expected"):
        CliRunner().invoke(cli.app, ["evaluate", str(tmp_path / "nowhere")], catch_exceptions=False)
