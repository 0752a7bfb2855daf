"""The analysts' notebook, run by a real kernel over a real catalog."""

import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from audit_pipelines.installation import Installation
from audit_pipelines.lake.catalog import build_catalog
from audit_pipelines.lake.export import export_window
from audit_pipelines.ledger.event import Event

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "analysts.ipynb"


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_answers_two_questions(
    notebook: nbformat.NotebookNode,
    installation: Installation,
    tenant_id: uuid.UUID,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def login(outcome: str) -> Event:
        return Event(event_type="sso:login", entity_type="app", entity_id="mail", actor="ann", outcome=outcome)

    installation.ledger.append(tenant_id, [login("failure")] * 4 + [login("success")])
    export_window(installation, date(2025, 1, 1), datetime.now(UTC).date() + timedelta(days=1), run_id="test")
    build_catalog(installation)
    monkeypatch.setenv("AUDIT_HOME", str(installation.settings.home))
    # What somebody has set up for their own notebooks has no say here, and is not written to.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))

    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()
    shown = {
        cell.id: "".join(output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    assert "shape: (1, 6)" in shown["busiest"]
    assert "shape: (1, 5)" in shown["logins"]
    assert "Tenant" in shown["columns"]


def test_no_data_is_kept_in_the_notebook(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
