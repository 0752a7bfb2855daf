"""docs/controls.md says what the catalogue says; UPDATE_SNAPSHOTS=1 writes it anew."""

import os
import re
from itertools import groupby
from pathlib import Path

from audit_pipelines.derive.controls import CONTROLS, REQUIREMENTS, requirements_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "controls.md"
NAMES = {control.key: control.name for control in CONTROLS}


def test_the_document_is_the_catalogue() -> None:
    text = DOCUMENT.read_text()
    made = filled(filled(text, "controls", controls()), "requirements", requirements())
    if os.environ.get("UPDATE_SNAPSHOTS"):
        DOCUMENT.write_text(made)
    assert made == text, "review the change, then run again with UPDATE_SNAPSHOTS=1"


def filled(text: str, part: str, content: str) -> str:
    pattern = rf"(<!-- {part} -->\n).*?(<!-- end -->)"
    assert re.search(pattern, text, re.DOTALL)
    return re.sub(pattern, lambda match: f"{match[1]}{content}{match[2]}", text, count=1, flags=re.DOTALL)


def controls() -> str:
    lines = ["| control | name | looks at | shows |", "|---|---|---|---|"]
    lines += [f"| `{one.key}` | {one.name} | {one.looks_at} | {requirements_of(one.key)} |" for one in CONTROLS]
    return "\n".join(lines) + "\n"


def requirements() -> str:
    parts = []
    for framework, rows in groupby(REQUIREMENTS, key=lambda one: one.framework):
        parts += [f"### {framework}", "", "| number | asks | shown by | the organisation |", "|---|---|---|---|"]
        for one in rows:
            shown = ", ".join(f"`{key}`" for key in one.controls) or ("**not met**" if one.gap else "organisational")
            parts.append(f"| {one.number} | {one.asks} | {shown} | {one.gap or one.organisation or '–'} |")
        parts.append("")
    return "\n".join(parts[:-1]) + "\n"
