"""The report's charts, drawn from a `Report`'s series: as ReportLab drawings for print, as small SVG for a browser.

Every chart says its numbers in text too, and none relies on colour alone: anomalies are diamonds in a lane of their
own, bars carry their values. SVG strings hold no script, font or link and stay under 10 KB, to fit in metadata.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from reportlab.graphics.shapes import Drawing, Line, Polygon, Rect, String
from reportlab.lib.colors import Color, HexColor, linearlyInterpolatedColor

from audit_pipelines.reports import fonts, words
from audit_pipelines.reports.layout import (
    ACCENT,
    ACCENT_SOFT,
    BAD,
    CONTENT,
    HAIRLINE,
    MUTED,
    PANEL,
    SEVERITY_COLOURS,
    Style,
    shorten,
)
from audit_pipelines.reports.model import BinUnit, Share, TimeBin, Timeline

_LABEL: Final = Style(size=6.9, colour=MUTED)
_VALUE: Final = Style(size=7.8)
_SVG_BARS: Final = 200


def activity_chart(timeline: Timeline, width: float = CONTENT, height: float = 148) -> Drawing:
    """Draw events per bin as bars, the unsuccessful part of each darker, anomalies as diamonds in the lane above."""
    drawing = _drawing(width, height)
    left, bottom, top = 34.0, 32.0, height - 18
    bins = timeline.bins
    steps = axis_steps(max((one.events for one in bins), default=0))
    slot = (width - left) / max(len(bins), 1)
    scale = (top - bottom) / steps[-1]
    for value in steps:
        y = bottom + value * scale
        drawing.add(_line(left, y, width, y, HAIRLINE if value else MUTED))
        drawing.add(_text(left - 5, y - 2.3, words.number(value), _LABEL, "end"))
    bar = slot * (0.72 if slot > 4 else 0.86)
    for place, one in enumerate(bins):
        x = left + place * slot + (slot - bar) / 2
        if one.events:
            drawing.add(_rect(x, bottom, bar, one.events * scale, ACCENT_SOFT))
        if one.unsuccessful:
            drawing.add(_rect(x, bottom, bar, one.unsuccessful * scale, ACCENT))
        if one.anomalies:
            drawing.add(_diamond(left + (place + 0.5) * slot, top + 9, 2.3 + min(one.anomalies, 5) * 0.25))
    if not any(one.events for one in bins):
        drawing.add(_text((left + width) / 2, (bottom + top) / 2 - 12, "No event in this period", _VALUE, "middle"))
    for x, label in _time_ticks(timeline, left, slot):
        drawing.add(_line(x, bottom, x, bottom - 3, MUTED))
        drawing.add(_text(x, bottom - 11, label, _LABEL, "middle" if left + 14 < x < width - 14 else "start"))
    _legend(drawing, left, with_anomalies=any(one.anomalies for one in bins))
    return drawing


def bars_chart(
    shares: Sequence[Share],
    whole: int,
    width: float = CONTENT,
    *,
    rest: str = "",
    colours: dict[str, str] | None = None,
) -> Drawing:
    """Draw shares as horizontal bars with label, count and percentage of `whole`.

    `rest` names what the shares leave of `whole`; that row is drawn in grey, and left out when nothing is left.
    """
    left_over = whole - sum(share.events for share in shares)
    rows = [(share.label, share.events, (colours or {}).get(share.label, ACCENT)) for share in shares]
    if rest and left_over > 0:
        rows.append((rest, left_over, MUTED))
    pitch = 14.0
    drawing = _drawing(width, pitch * max(len(rows), 1))
    if not rows:
        drawing.add(_text(0, 4, "None in this period.", _LABEL))
        return drawing
    label_width = min(width * 0.42, max(fonts.width(fonts.printable(row[0]), _VALUE.font, _VALUE.size) for row in rows))
    value_width = 78.0
    room = width - label_width - value_width - 10
    longest = max(count for _, count, _ in rows)
    for place, (label, count, colour) in enumerate(rows):
        y = drawing.height - (place + 1) * pitch + 4
        drawing.add(_text(0, y, shorten(label, _VALUE, label_width), _VALUE))
        drawing.add(_rect(label_width + 8, y - 1.6, max(room * count / longest, 0.6), 8.4, colour))
        drawing.add(_text(width - 36, y, words.number(count), _VALUE, "end"))
        drawing.add(_text(width, y, words.percent(count, whole), _LABEL, "end"))
    return drawing


def severity_chart(shares: Sequence[Share], whole: int, width: float = CONTENT, *, rest: str = "") -> Drawing:
    """Draw risks or severities as bars in the colours that the chips use."""
    return bars_chart(shares, whole, width, rest=rest, colours=SEVERITY_COLOURS)


def heat_map(hour_of_week: Sequence[Sequence[int]], width: float = CONTENT) -> Drawing:
    """Draw 7 × 24 counts as shaded cells, Monday first, hours in UTC, with a scale from none to the busiest hour."""
    left, pitch, top = 30.0, 12.6, 7 * 12.6 + 24
    drawing = _drawing(width, top)
    cell = (width - left) / 24
    busiest = max((count for row in hour_of_week for count in row), default=0)
    for weekday, row in enumerate(hour_of_week):
        y = top - (weekday + 1) * pitch
        drawing.add(_text(0, y + 3.4, words.WEEKDAYS[weekday][:3], _LABEL))
        for hour, count in enumerate(row):
            drawing.add(_rect(left + hour * cell + 0.5, y + 0.5, cell - 1, pitch - 1, _shade(count, busiest)))
    for hour in range(0, 24, 3):
        drawing.add(_text(left + hour * cell + 1, top - 7 * pitch - 8, f"{hour:02d}:00", _LABEL))
    scale_left = width - 150
    drawing.add(_text(scale_left - 6, 3, "events an hour of the week: 0", _LABEL, "end"))
    for step in range(10):
        drawing.add(_rect(scale_left + step * 10, 2, 9.4, 7, _shade(step, 9)))
    drawing.add(_text(scale_left + 105, 3, words.number(busiest), _LABEL))
    return drawing


def activity_svg(timeline: Timeline, width: int = 640, height: int = 120) -> str:
    """Return the activity chart as an SVG string under 10 KB; long timelines have neighbouring bins merged."""
    bins = _merged(timeline.bins, _SVG_BARS)
    longest = max((one.events for one in bins), default=0) or 1
    slot = width / max(len(bins), 1)
    base, tall = height - 14, height - 30
    first = words.minute(timeline.bins[0].start) if timeline.bins else ""
    last = words.minute(timeline.bins[-1].start) if timeline.bins else ""
    events = words.counted(sum(one.events for one in bins), "event")
    anomalies = words.counted(sum(one.anomalies for one in bins), "anomaly")

    def height_of(count: int) -> int:
        return max(round(count / longest * tall), 1)

    def bars(counts: Sequence[int]) -> str:
        return "".join(
            f"M{_short((place + 0.5) * slot)} {base}v-{height_of(count)}" for place, count in enumerate(counts) if count
        )

    dots = "".join(f"M{_short((place + 0.5) * slot)} 7h0" for place, one in enumerate(bins) if one.anomalies)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{events} and {anomalies}</title>'
        f'<g fill="none" stroke-width="{_short(slot * 0.8)}">'
        f'<path stroke="{ACCENT_SOFT}" d="{bars([one.events for one in bins])}"/>'
        f'<path stroke="{ACCENT}" d="{bars([one.unsuccessful for one in bins])}"/></g>'
        f'<path stroke="{BAD}" stroke-width="6" stroke-linecap="round" d="{dots}"/>'
        f'<path stroke="{MUTED}" d="M0 {base}.5H{width}"/>'
        f'<g font-family="sans-serif" font-size="10" fill="{MUTED}"><text y="{height - 2}">{first}</text>'
        f'<text x="{width}" y="{height - 2}" text-anchor="end">{last} UTC</text></g></svg>'
    )


def sparkline_svg(values: Sequence[float], width: int = 160, height: int = 28) -> str:
    """Return a line of values as an SVG string under 10 KB; more than 200 values are averaged in groups."""
    group = max(math.ceil(len(values) / _SVG_BARS), 1)
    means = [sum(values[at : at + group]) / len(values[at : at + group]) for at in range(0, len(values), group)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    span = (high - low) or 1.0
    step = (width - 4) / max(len(means) - 1, 1)
    points = " ".join(
        f"{_short(2 + place * step)},{_short(height - 2 - (value - low) / span * (height - 4))}"
        for place, value in enumerate(means)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><title>{len(values)} values from {low:g} to {high:g}</title>'
        f'<polyline fill="none" stroke="{ACCENT}" stroke-width="1.5" stroke-linejoin="round" points="{points}"/></svg>'
    )


def axis_steps(highest: int) -> list[int]:
    """Return the axis's whole-numbered marks from 0 to at least `highest`: three to six, 1, 2 or 5 × 10ⁿ apart."""
    rough = max(highest, 1) / 4
    magnitude = 10 ** max(math.floor(math.log10(rough)), 0) if rough >= 1 else 1
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    return list(range(0, step * max(math.ceil(highest / step), 2) + 1, step))


def _time_ticks(timeline: Timeline, left: float, slot: float) -> list[tuple[float, str]]:
    starts = [one.start for one in timeline.bins]
    hours_only = timeline.unit == "hour" and len(starts) <= 48
    if timeline.unit == "hour" and not hours_only:
        places = [place for place, start in enumerate(starts) if start.hour == 0]
    else:
        places = list(range(0, len(starts), max(math.ceil(len(starts) / 9), 1)))
    # Bars of a longer unit stand for their span, so their mark is in the middle; an hour's is where it begins.
    shift = 0.0 if timeline.unit == "hour" else 0.5
    return [(left + (place + shift) * slot, _tick(starts[place], timeline.unit, hours_only)) for place in places]


def _tick(start: datetime, unit: BinUnit, hours_only: bool) -> str:
    month = words.MONTHS[start.month - 1][:3]
    match unit:
        case "hour":
            return (
                f"{start.hour:02d}:00" if hours_only else f"{words.WEEKDAYS[start.weekday()][:3]} {start.day} {month}"
            )
        case "day":
            return f"{start.day} {month}"
        case "week":
            return f"{start.day} {month} {start.year}"
        case "month":
            return f"{month} {start.year}"
        case "year":
            return str(start.year)


def _legend(drawing: Drawing, left: float, *, with_anomalies: bool) -> None:
    x = left
    for label, colour in (("events", ACCENT_SOFT), ("of these failed or denied", ACCENT)):
        drawing.add(_rect(x, 3, 7, 7, colour))
        drawing.add(_text(x + 11, 4, label, _LABEL))
        x += 26 + fonts.width(label, _LABEL.font, _LABEL.size)
    if with_anomalies:
        drawing.add(_diamond(x + 3, 6.5, 2.8))
        drawing.add(_text(x + 11, 4, "anomalies in the bar below", _LABEL))


def _merged(bins: Sequence[TimeBin], most: int) -> list[TimeBin]:
    group = max(math.ceil(len(bins) / most), 1)
    groups = (bins[at : at + group] for at in range(0, len(bins), group))
    return [
        TimeBin(
            some[0].start,
            sum(one.events for one in some),
            sum(one.unsuccessful for one in some),
            sum(one.anomalies for one in some),
        )
        for some in groups
    ]


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _shade(count: int, busiest: int) -> Any:
    if count == 0 or busiest == 0:
        return HexColor(PANEL)
    light: Color = HexColor("#D6E3EF")
    return linearlyInterpolatedColor(light, HexColor(ACCENT), 0, 1, count / busiest)


def _drawing(width: float, height: float) -> Drawing:
    # Without a first font of ours, every drawing would name one that is not embedded.
    fonts.register()
    return Drawing(width, height, initialFontName=fonts.BODY)


def _rect(x: float, y: float, width: float, height: float, colour: Any) -> Rect:
    fill = HexColor(colour) if isinstance(colour, str) else colour
    return Rect(x, y, width, height, fillColor=fill, strokeColor=None, strokeWidth=0)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> Line:
    return Line(x1, y1, x2, y2, strokeColor=HexColor(colour), strokeWidth=0.5)


def _diamond(x: float, y: float, half: float) -> Polygon:
    return Polygon([x, y + half, x + half, y, x, y - half, x - half, y], fillColor=HexColor(BAD), strokeColor=None)


def _text(x: float, y: float, text: str, style: Style, anchor: str = "start") -> String:
    return String(
        x,
        y,
        text,
        fontName=style.font,
        fontSize=style.size,
        fillColor=HexColor(style.colour),
        textAnchor=anchor,
    )
