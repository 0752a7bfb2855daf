"""Tiles, read as a stranger's client reads them: by the published specification, without a line of the product."""

import base64
import hashlib
import os
import uuid
from pathlib import Path

import pytest

from audit_pipelines.errors import TamperedError, ValidationError
from audit_pipelines.installation import Installation
from audit_pipelines.ledger import tiles
from audit_pipelines.ledger.event import Event
from audit_pipelines.ledger.tiles import TilesWritten, tile_path, write_tiles


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def subtree(hashes: list[bytes]) -> bytes:
    """RFC 6962 §2.1 over hashes of equal height."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return sha(b"\x01", subtree(hashes[:split]), subtree(hashes[split:]))


class Reader:
    """A client of https://c2sp.org/tlog-tiles over a folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        lines = (directory / "checkpoint").read_text().split("\n")
        self.origin, self.size, self.root = lines[0], int(lines[1]), base64.b64decode(lines[2])

    def fetch(self, level: str, index: int, width: int) -> bytes:
        groups = []
        rest = index
        while True:
            groups.insert(0, f"{rest % 1000:03}")
            rest //= 1000
            if not rest:
                break
        path = "/".join(["tile", level, *(f"x{group}" for group in groups[:-1]), groups[-1]])
        return (self.directory / (path if width == 256 else f"{path}.p/{width}")).read_bytes()

    def tile(self, level: int, index: int) -> list[bytes]:
        width = min(256, (self.size >> 8 * level) - index * 256)
        content = self.fetch(str(level), index, width)
        assert len(content) == 32 * width
        return [content[at : at + 32] for at in range(0, len(content), 32)]

    def level(self, level: int) -> list[bytes]:
        count = self.size >> 8 * level
        return [node for index in range(-(-count // 256)) for node in self.tile(level, index)]

    def entries(self) -> list[bytes]:
        leaves = []
        for index in range(-(-self.size // 256)):
            width = min(256, self.size - index * 256)
            bundle = self.fetch("entries", index, width)
            for _ in range(width):
                length = int.from_bytes(bundle[:2], "big")
                leaves.append(bundle[2 : 2 + length])
                bundle = bundle[2 + length :]
            assert bundle == b""
        return leaves

    def mth(self, start: int, end: int) -> bytes:
        """Return the hash of a range of leaves, from the highest tiles that have it."""
        width = end - start
        level = ((width & -width).bit_length() - 1) // 8
        if width & (width - 1) == 0 and start % width == 0:
            low, high = start >> 8 * level, end >> 8 * level
            return subtree(self.tile(level, low // 256)[low % 256 : low % 256 + high - low])
        split = 1 << (width - 1).bit_length() - 1
        return sha(b"\x01", self.mth(start, start + split), self.mth(start + split, end))

    def path(self, leaf: int, start: int, end: int) -> list[bytes]:
        """RFC 6962 §2.1.1, from tiles alone."""
        if end - start == 1:
            return []
        split = start + (1 << (end - start - 1).bit_length() - 1)
        if leaf < split:
            return [*self.path(leaf, start, split), self.mth(split, end)]
        return [*self.path(leaf, split, end), self.mth(start, split)]

    def check(self) -> None:
        """Recompute everything."""
        leaves = self.entries()
        assert len(leaves) == self.size
        assert [sha(b"\x00", leaf) for leaf in leaves] == self.level(0)
        assert self.mth(0, self.size) == self.root == subtree(self.level(0))
        level = 1
        while self.size >> 8 * level:
            below = self.level(level - 1)
            assert self.level(level) == [subtree(below[at : at + 256]) for at in range(0, len(below) - 255, 256)]
            level += 1

    def check_inclusion(self, leaf: int) -> None:
        """RFC 9162 §2.1.3.2."""
        node, last = leaf, self.size - 1
        computed = sha(b"\x00", self.entries()[leaf])
        for sibling in self.path(leaf, 0, self.size):
            if node & 1 or node == last:
                computed = sha(b"\x01", sibling, computed)
                while not node & 1 and node:
                    node, last = node >> 1, last >> 1
            else:
                computed = sha(b"\x01", computed, sibling)
            node, last = node >> 1, last >> 1
        assert last == 0
        assert computed == self.root


def grow(installation: Installation, tenant_id: uuid.UUID, count: int) -> None:
    events = [Event(event_type="a", entity_type="b", entity_id=str(number)) for number in range(count)]
    installation.ledger.append(tenant_id, events)
    assert installation.seal(tenant_id)


def write(installation: Installation, tenant_id: uuid.UUID, directory: Path) -> TilesWritten:
    return write_tiles(installation.database, tenant_id, directory, installation.verifier_keys)


def content_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_paths_are_those_of_the_specification() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(0, 273, 112) == "tile/0/273.p/112"
    assert tile_path(2, 0, 1) == "tile/2/000.p/1"
    assert tile_path("entries", 1000) == "tile/entries/x001/000"
    assert tile_path("entries", 999, 255) == "tile/entries/999.p/255"


def test_a_stranger_recomputes_root_and_inclusion_from_the_files(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path
) -> None:
    """A log that grows by steps equals one written at once, at every step."""
    grown = tmp_path / "grown"
    size = 0
    for number, more in enumerate((1, 2, 252, 1, 1, 255, 300, 700)):
        grow(installation, tenant_id, more)
        size += more
        assert write(installation, tenant_id, grown).size == size
        reader = Reader(grown)
        assert reader.origin == f"audit_pipelines/{tenant_id}"
        assert reader.size == size
        reader.check()
        for leaf in {0, size // 2, size - 1, min(255, size - 1), min(256, size - 1)}:
            reader.check_inclusion(leaf)
        whole = tmp_path / f"whole-{number}"
        write(installation, tenant_id, whole)
        kept = content_of(grown)
        assert content_of(whole).items() <= kept.items()
        # Of outgrown sizes only what no full tile replaces yet is left.
        full = {name for name in kept if "/" in name and ".p/" not in name}
        assert not [name for name in kept if name.partition(".p/")[1] and name.partition(".p/")[0] in full]
    leaf = reader.entries()[700]
    assert leaf[:16] == tenant_id.bytes
    assert int.from_bytes(leaf[16:24]) == 700
    assert content_of(tmp_path / "whole-7").keys() == {
        "checkpoint",
        *(f"tile/{level}/{index:03}" for level in ("0", "entries") for index in range(5)),
        *(f"tile/{level}/005.p/232" for level in ("0", "entries")),
        "tile/1/000.p/5",
    }


def test_only_what_is_new_is_written(installation: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    grow(installation, tenant_id, 600)
    assert write(installation, tenant_id, tmp_path).files == 8
    assert write(installation, tenant_id, tmp_path) == TilesWritten(600, 0)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    grow(installation, tenant_id, 10)
    assert write(installation, tenant_id, tmp_path) == TilesWritten(610, 4)
    kept = {path for path in times if path.exists() and path.stat().st_mtime_ns == times[path]}
    assert {str(path.relative_to(tmp_path)) for path in kept} >= {"tile/0/000", "tile/0/001", "tile/entries/001"}


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("count", range(1, 7))
def test_a_write_that_breaks_off_leaves_the_former_log_and_is_finished_by_the_next(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    grow(installation, tenant_id, 300)
    write(installation, tenant_id, tmp_path)
    grow(installation, tenant_id, 250)
    original, calls = os.replace, 0

    def crashing(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == count:
            raise Crash
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", crashing)
    with pytest.raises(Crash):
        write(installation, tenant_id, tmp_path)
    monkeypatch.undo()
    assert Reader(tmp_path).size == 300
    Reader(tmp_path).check()
    assert write(installation, tenant_id, tmp_path).size == 550
    Reader(tmp_path).check()


@pytest.mark.parametrize(
    "change",
    [
        "update audit_logs set entry_hash = sha256('x') where seq = 5",
        "update audit_logs set recorded_at = recorded_at + interval '1 microsecond' where seq = 305",
        "delete from audit_logs where seq = 305",
        "update audit_checkpoints set note = replace(note, 'chain ', 'chain A') where size = 310",
        "delete from audit_checkpoints where size = 310",
    ],
)
def test_what_does_not_fit_the_signed_root_is_not_published(
    installation: Installation, tenant_id: uuid.UUID, tmp_path: Path, change: str
) -> None:
    grow(installation, tenant_id, 300)
    behind, ahead = tmp_path / "behind", tmp_path / "ahead"
    write(installation, tenant_id, behind)
    grow(installation, tenant_id, 10)
    write(installation, tenant_id, ahead)
    before = content_of(behind)
    with installation.database.connect_admin() as conn:
        conn.execute("set session_replication_role = replica")
        assert conn.execute(change).rowcount == 1
    if "seq = 5" in change:
        # The tiles that are there already keep it out; a new log would hold it.
        write(installation, tenant_id, behind)
        before = {}
        behind = tmp_path / "empty"
    if change.startswith("delete from audit_checkpoints"):
        behind, before = ahead, content_of(ahead)
    with pytest.raises(TamperedError):
        write(installation, tenant_id, behind)
    assert content_of(behind) == before


def test_damaged_tiles_are_not_built_upon(installation: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    grow(installation, tenant_id, 300)
    for name in ("tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1", "checkpoint"):
        directory = tmp_path / "logs" / name.replace("/", "-")
        write(installation, tenant_id, directory)
        data = bytearray((directory / name).read_bytes())
        data[-20] ^= 1
        (directory / name).write_bytes(data)
    grow(installation, tenant_id, 10)
    for directory in (tmp_path / "logs").iterdir():
        before = content_of(directory)
        with pytest.raises(TamperedError):
            write(installation, tenant_id, directory)
        assert content_of(directory) == before


def test_a_folder_belongs_to_one_tenant(installation: Installation, tenant_id: uuid.UUID, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no checkpoint yet"):
        write(installation, tenant_id, tmp_path)
    other = uuid.uuid4()
    for tenant in (tenant_id, other):
        grow(installation, tenant, 3)
    write(installation, tenant_id, tmp_path)
    with pytest.raises(ValidationError, match="a folder of its own"):
        write(installation, other, tmp_path)


def test_a_tree_of_the_specifications_size_has_its_tiles(tmp_path: Path) -> None:
    """The example of the specification: 70,000 leaves; too many for a database in a test, so the edge alone."""
    made: dict[str, int] = {}
    edge = tiles._Edge()
    for number in range(70_000):
        edge.append(number.to_bytes(64), lambda path, content: made.update({path: len(content)}))
    edge.write_partial(lambda path, content: made.update({path: len(content)}))
    assert sum(path.startswith("tile/0/") for path in made) == 274
    assert made["tile/0/273.p/112"] == 112 * 32
    assert {path: size for path, size in made.items() if path.startswith(("tile/1/", "tile/2/"))} == {
        "tile/1/000": 8192,
        "tile/1/001.p/17": 17 * 32,
        "tile/2/000.p/1": 32,
    }
    assert made["tile/entries/272"] == 256 * 66
    assert edge.root() == _root_of(70_000)


def _root_of(size: int) -> bytes:
    return subtree([sha(b"\x00", number.to_bytes(64)) for number in range(size)])
