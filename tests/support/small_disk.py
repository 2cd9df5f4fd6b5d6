"""A disk that is soon full."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.missing import cannot_run


@contextlib.contextmanager
def small_disk(at: Path, kib: int) -> Iterator[Path]:
    """A new folder ``at``, of its owner's alone, with room for so many KiB; gone afterwards."""
    if os.geteuid() != 0:
        cannot_run("only root can mount a small disk")
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0700", "tmpfs", str(at)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        cannot_run(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def fill(file: Path) -> None:
    """Write a file until its disk is full."""
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(1024))
