"""What all assets share: owners, the code's version, and metadata as a person wants to see it in the UI.

Metadata is stored with every event for ever, so tables are cut and pictures stay below 10 KB. Assets whose stage needs
scikit-learn (2 s) or ReportLab (0.3 s) import it when they run: webserver, daemon and commands all load the graph.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Final

import dagster as dg

from audit_pipelines.derive.window import TenantUpdate

OWNERS: Final = ["team:security-engineering"]
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


def updates(done: Sequence[TenantUpdate]) -> dict[str, dg.MetadataValue]:
    """Describe what a stage did per tenant."""
    fresh = [update for update in done if update.written]
    return {
        "rows": dg.MetadataValue.int(sum(update.rows for update in done)),
        "tenants": dg.MetadataValue.int(len(done)),
        "tenants_updated": dg.MetadataValue.int(len(fresh)),
        "by_tenant": table(
            ("tenant", "rows", "state", "KiB", "SHA-256"),
            (
                (update.tenant_id, update.rows, "up to date", "", "")
                if update.written is None
                else (
                    update.tenant_id,
                    update.rows,
                    "written",
                    update.written.bytes // 1024,
                    update.written.digest.hex()[:16],
                )
                for update in done
            ),
        ),
    }


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
