"""What tests of documents share: writing lines, and poppler's reading of a file."""

import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from audit_pipelines.reports import fonts
from audit_pipelines.reports.canvas import TextCanvas

poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")


def extracted(path: Path) -> str:
    """Return what pdftotext finds in a file, without the direction marks that it adds itself."""
    text = subprocess.run(
        ["pdftotext", "-layout", "-enc", "UTF-8", str(path), "-"], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    return re.sub("[\u202a-\u202e]", "", text)


def drawn(lines: list[str], path: Path, font: str = fonts.BODY) -> Path:
    """Write a document with lines of printable text, each on its own."""
    buffer = BytesIO()
    # What lies beyond the page is not extracted: sixty characters without a glyph are some 1,300 points.
    widest = max(map(fonts.measure(font, 10), lines), default=0.0)
    canvas = TextCanvas(buffer, (max(1200, 60 + widest), 40 + 24 * len(lines)))
    for place, line in enumerate(lines, 1):
        canvas.write(20, 20 + 24 * (len(lines) - place), line, font, 10)
    canvas.showPage()
    canvas.save()
    path.write_bytes(buffer.getvalue())
    return path
