"""CSV of an export as a spreadsheet program opens it, with texts told to stay texts."""

import re
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from audit_pipelines.reports.csv_export import csv_bytes

TEXTS = ["=1+1", "0042", "0" * 30 + "17", "監査", 'a "q", w', "x\ny", "1e5", "2026-03-01", "y" * 2_000]


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice (libreoffice-calc) is not installed")
def test_a_spreadsheet_opens_texts_as_texts_and_runs_no_formula(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": range(len(TEXTS)), "text": TEXTS})
    (tmp_path / "t.csv").write_bytes(csv_bytes(frame, header=True, quote_texts=True))
    command = ["soffice", f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}", "--headless"]
    command += ["--infilter=CSV:44,34,76,1,,0,true", "--convert-to", "fods", "--outdir", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "t.csv")], check=True, capture_output=True, timeout=120)
    opened = (tmp_path / "t.fods").read_text()
    assert "table:formula" not in opened
    cells = re.findall(
        r'<table:table-cell[^>]*office:value-type="string"[^>]*>(.*?)</table:table-cell>', opened, re.DOTALL
    )
    texts = ["\n".join(re.findall(r"<text:p>(.*?)</text:p>", cell)) for cell in cells]
    plain = [text.replace("&apos;", "'").replace("&quot;", '"') for text in texts]
    assert plain == ["n", "text", "'=1+1", *TEXTS[1:]]
