"""The lake's paths, parts and stamps, without any database."""

import uuid
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from audit_pipelines.lake.datasets import RAW_EVENTS, SCHEMAS, Lake, Part, Stamp, Written
from audit_pipelines.lake.export import gaps

DAY = date(2026, 11, 23)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def _events(tenant_id: uuid.UUID, first: int, last: int) -> pl.DataFrame:
    rows = [{"tenant_id": str(tenant_id), "seq": seq, "row_hash": f"{seq:064x}"} for seq in range(first, last + 1)]
    return pl.DataFrame(rows, schema=dict(RAW_EVENTS))


def _put(lake: Lake, tenant_id: uuid.UUID, day: date, first: int, last: int) -> None:
    path = lake.part_path(tenant_id, day, first, last)
    path.parent.mkdir(parents=True, exist_ok=True)
    _events(tenant_id, first, last).write_parquet(path)


def test_a_part_lies_where_analysts_expect_it(lake: Lake) -> None:
    tenant_id = uuid.UUID(int=1)
    path = lake.part_path(tenant_id, DAY, 5, 12)
    assert path.relative_to(lake.root).as_posix() == (
        "raw_events/tenant_id=00000000-0000-0000-0000-000000000001/day=2026-11-23/"
        "part-00000000000000000005-00000000000000000012.parquet"
    )


def test_parts_come_in_order_and_other_files_are_not_parts(lake: Lake) -> None:
    tenant_id = uuid.uuid4()
    _put(lake, tenant_id, DAY, 10, 11)
    _put(lake, tenant_id, date(2026, 11, 22), 0, 9)
    (lake.day_dir(tenant_id, DAY) / ".part-00000000000000000012-00000000000000000013.parquet.x1").touch()
    assert [(part.first_seq, part.last_seq) for part in lake.parts(tenant_id)] == [(0, 9), (10, 11)]
    assert lake.last_seq(tenant_id) == 11
    assert lake.tenants() == [tenant_id]


def test_events_are_read_from_a_seq_on(lake: Lake) -> None:
    tenant_id = uuid.uuid4()
    _put(lake, tenant_id, DAY, 0, 4)
    _put(lake, tenant_id, DAY, 5, 7)
    assert lake.events(tenant_id, from_seq=4)["seq"].to_list() == [4, 5, 6, 7]
    assert lake.events(tenant_id, columns=("row_hash",)).columns == ["row_hash"]
    assert lake.events(uuid.uuid4()).schema == pl.Schema(RAW_EVENTS)


def test_a_dataset_is_replaced_with_its_stamp(lake: Lake) -> None:
    tenant_id = uuid.uuid4()
    frame = pl.DataFrame({"seq": [1], "risk": ["low"]}).with_columns(
        *(pl.lit(None).alias(name) for name in SCHEMAS["event_tags"] if name not in ("seq", "risk"))
    )
    stamp = Stamp(1, "ab", "1.0", ("m1", "m2"))
    recorded: list[Written] = []
    written = lake.replace("event_tags", tenant_id, frame, stamp, before=recorded.append)
    assert recorded == [written]
    assert lake.stamp("event_tags", tenant_id) == stamp
    assert lake.read("event_tags", tenant_id).schema == pl.Schema(SCHEMAS["event_tags"])
    assert lake.read("models", tenant_id).is_empty()


def test_a_file_whose_record_fails_never_appears(lake: Lake) -> None:
    def fail(_: Written) -> None:
        raise RuntimeError("the record was refused")

    frame = pl.DataFrame(schema=dict(SCHEMAS["event_tags"]))
    with pytest.raises(RuntimeError, match="refused"):
        lake.replace("event_tags", uuid.uuid4(), frame, Stamp(0, "", ""), before=fail)
    assert not list(lake.root.rglob("*.parquet"))


def test_a_file_of_other_columns_is_a_fault(lake: Lake) -> None:
    tenant_id = uuid.uuid4()
    _put(lake, tenant_id, DAY, 0, 1)
    assert lake.schema_faults(DAY, date(2026, 11, 24)) == []
    path = lake.part_path(tenant_id, DAY, 2, 2)
    _events(tenant_id, 2, 2).drop("outcome").write_parquet(path)
    (fault,) = lake.schema_faults(DAY, date(2026, 11, 24))
    assert "part-00000000000000000002" in fault
    assert lake.schema_faults(date(2026, 11, 24), date(2026, 11, 25)) == []


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], [(0, 9)]),
        ([(0, 9)], []),
        ([(0, 3)], [(4, 9)]),
        ([(4, 6)], [(0, 3), (7, 9)]),
        ([(0, 3), (2, 5)], [(6, 9)]),
        ([(0, 20)], []),
        ([(12, 20)], [(0, 9)]),
    ],
)
def test_gaps(parts: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    there = [Part(first, last, DAY, Path("x")) for first, last in parts]
    assert list(gaps(there, 0, 10)) == expected
