"""Small pictures of a report as inline SVG: what Dagster's page and the docs can show without a file or a library."""

from collections.abc import Sequence
from typing import Final

from audit_pipelines.evaluation.judge import Report

_WIDTH: Final = 320
_HEIGHT: Final = 160
_LEFT: Final = 34
_BOTTOM: Final = 20


def precision_recall(report: Report) -> str:
    """Draw precision over recall."""
    points = [(0.0, report.curve[0][1]), *report.curve] if report.curve else []
    path = " ".join(f"{_x(recall):.1f},{_y(precision):.1f}" for recall, precision in points)
    line = f'<polyline fill="none" stroke="#2563eb" stroke-width="1.5" points="{path}"/>'
    return _svg("Precision over recall", line, "1", "1")


def alerts_by_day(report: Report) -> str:
    """Draw alerts a day, those on attacks darker."""
    most = max((alerts for _, alerts, _ in report.by_day), default=0) or 1
    width = (_WIDTH - _LEFT - 6) / max(len(report.by_day), 1)
    bars = []
    for at, (_, alerts, hits) in enumerate(report.by_day):
        for count, colour in ((alerts, "#93c5fd"), (hits, "#1e3a8a")):
            top = _y(count / most)
            bars.append(
                f'<rect x="{_LEFT + at * width:.1f}" y="{top:.1f}" width="{max(width - 1, 0.5):.1f}" '
                f'height="{_y(0) - top:.1f}" fill="{colour}"/>'
            )
    return _svg("Alerts a day, on attacks dark", "".join(bars), str(most), f"{len(report.by_day)} days")


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - 6)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - 18)


def _svg(title: str, body: str, top: str, right: str) -> str:
    axis = f"M{_LEFT} {_y(1):.0f}V{_y(0):.0f}H{_WIDTH - 6}"
    texts: Sequence[tuple[float, float, str, str]] = (
        (_LEFT, 12, "start", title),
        (_LEFT - 4, _y(1) + 4, "end", top),
        (_LEFT - 4, _y(0) + 4, "end", "0"),
        (_WIDTH - 6, _HEIGHT - 6, "end", right),
    )
    told = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>' for x, y, anchor, text in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'font-family="sans-serif" font-size="10" fill="#374151"><path d="{axis}" fill="none" stroke="#9ca3af"/>'
        f"{body}{told}</svg>"
    )
