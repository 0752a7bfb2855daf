"""Metadata of assets and checks as a person wants to see it in the UI: tables and pictures in Markdown.

Metadata is stored with every event for ever, so tables are cut and pictures stay below 10 KB. Not in `assets`: that
package loads the checks, which show tables too.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final

import dagster as dg

ROWS_SHOWN: Final = 20


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Return rows as a Markdown table, the first ROWS_SHOWN of them."""
    every = [[_cell(value) for value in row] for row in rows]
    lines = [" | ".join(headers), " | ".join("---" for _ in headers)]
    lines += [" | ".join(row) for row in every[:ROWS_SHOWN]]
    if len(every) > ROWS_SHOWN:
        lines.append(" | ".join([f"… {len(every) - ROWS_SHOWN} more", *("" for _ in headers[1:])]))
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def picture(title: str, svg: str) -> dg.MarkdownMetadataValue:
    """Return an SVG as an image inside Markdown."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/svg+xml;base64,{encoded})")


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
