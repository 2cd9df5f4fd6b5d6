"""The programs of bench/ run and say what they are there to say, with less of everything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def test_what_is_suggested_is_free_and_does_better_than_chance() -> None:
    command = [sys.executable, str(BENCH / "suggest.py"), "--rounds", "400", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    (row,) = json.loads(done.stdout)

    assert (0, "") == (done.returncode, done.stderr), row
    assert row["suggested"] > 0.2
    assert row["free"] == 1.0
    assert row["useful"] > max(row["useful, any related"], row["useful by chance"])
    assert row["good"] > 2 * max(row["good, any related"], row["good by chance"])
    assert row["collides"] < row["collides, any related, not checked"]
    assert row["area collides"] < row["area collides by chance"]


def test_the_start_among_others_is_measured() -> None:
    few = ("--sessions", "20", "--tasks", "30", "--rounds", "3", "--json")
    command = [sys.executable, str(BENCH / "welcome.py"), *few]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert (20, 30, 3) == (found["sessions"], found["tasks"], found["rounds"])
    assert 0 < found["p50_ms"] <= found["slowest_ms"]
    assert found["alone_p50_ms"] > 0
    assert found["ratio"] > 0
    assert found["lines"] <= 20
    assert found["suggested"] > 0, found


@pytest.mark.etcd
def test_a_hook_is_measured_beside_its_floors() -> None:
    command = [sys.executable, str(BENCH / "hook.py"), "--rounds", "8"]
    wide = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        command, env=wide, capture_output=True, text=True, timeout=120, check=False
    )

    assert "Against floors" in done.stdout, done.stderr
    for line in ("HTTP echo", "bash -c :", "shim hook, held file", "free file by http / its"):
        assert f"│ {line}" in done.stdout


@pytest.mark.etcd
def test_the_room_of_a_full_history_is_measured() -> None:
    command = [sys.executable, str(BENCH / "store.py"), "--share", "0.01", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert (1000, 20) == (found["lines"], found["logs"])
    in_etcd = found["etcd"]
    assert 0 < in_etcd["defragmented_mb"] <= in_etcd["written_mb"] + 0.5
    assert 0 < found["embedded"]["on_disk_mb"] < 5
