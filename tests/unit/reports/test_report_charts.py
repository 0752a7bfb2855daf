"""Charts and the SVG strings for metadata."""

import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from report_samples import SINCE

from audit_pipelines.reports.charts import (
    activity_chart,
    activity_svg,
    axis_steps,
    bars_chart,
    heat_map,
    sparkline_svg,
)
from audit_pipelines.reports.model import Share, TimeBin, Timeline


def timeline(count: int) -> Timeline:
    bins = (TimeBin(SINCE + timedelta(hours=hour), 10_000 + hour * 7, hour, hour % 3) for hour in range(count))
    return Timeline("hour", tuple(bins))


@pytest.mark.parametrize("count", [0, 1, 168, 5000])
def test_activity_svg_is_well_formed_and_small(count):
    svg = activity_svg(timeline(count))
    assert len(svg.encode()) < 10_000
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"


def test_merging_bins_keeps_the_totals():
    title = ET.fromstring(activity_svg(timeline(1000)))[0].text
    assert title == f"{sum(10_000 + hour * 7 for hour in range(1000)):,} events and 999 anomalies"


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], list(range(10_000))])
def test_sparkline_is_well_formed_and_small(values):
    svg = sparkline_svg(values)
    assert len(svg.encode()) < 10_000
    ET.fromstring(svg)


@pytest.mark.parametrize("highest", [0, 1, 2, 3, 9, 10, 99, 578, 12_345, 10**9])
def test_axis_reaches_the_highest_value_in_few_whole_steps(highest):
    steps = axis_steps(highest)
    assert steps[0] == 0
    assert steps[-1] >= highest
    assert 3 <= len(steps) <= 6
    assert all(isinstance(step, int) for step in steps)


def words_of(drawing) -> list[str]:
    return [shape.text for shape in drawing.contents if hasattr(shape, "text")]


def test_bars_say_count_share_and_what_is_left():
    said = words_of(bars_chart((Share("user.login", 750), Share("file.read", 50)), 1000, rest="4 other types"))
    assert said == ["user.login", "750", "75.0 %", "file.read", "50", "5.0 %", "4 other types", "200", "20.0 %"]
    assert words_of(bars_chart((), 0)) == ["None in this period."]


def test_heat_map_has_a_cell_for_every_hour_and_says_the_busiest():
    drawing = heat_map([[0] * 24 for _ in range(6)] + [[1234] * 24])
    assert "1,234" in words_of(drawing)
    assert sum(type(shape).__name__ == "Rect" for shape in drawing.contents) == 7 * 24 + 10


def test_an_empty_period_says_so():
    assert "No event in this period" in words_of(activity_chart(Timeline("hour", (TimeBin(SINCE, 0, 0, 0),))))
