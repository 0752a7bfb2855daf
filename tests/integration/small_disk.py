"""A small disk under a folder of the embedded Postgres, that can be filled up.

It is a tmpfs mount, which root alone may make. What fails when a disk is full is the tests' business.
"""

import errno
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Disk:
    """One mounted disk."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Take all the room there is."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in (1 << 16, 1):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Give it back."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Disk]:
    """Put a disk under a folder and what is in it, for the length of the block; nothing may be using the folder.

    Skips the test where mounting is not permitted.
    """
    if shutil.which("mount") is None:
        pytest.skip("a small disk needs the program `mount`")
    owner = folder.stat()
    options = f"size={megabytes}m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    with tempfile.TemporaryDirectory() as kept:
        _copy(folder, Path(kept))
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        try:
            _copy(Path(kept), folder)
            yield Disk(folder)
        finally:
            subprocess.run(["umount", str(folder)], check=True)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--archive", f"{source}/.", str(target)], check=True)
