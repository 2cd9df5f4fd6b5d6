"""One seed is one history, to the byte: a violation can be replayed anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.simulation.history import simulate

TESTS = Path(__file__).resolve().parents[1]
SEEDS = (3, 14, 15)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_has_the_same_history(seed: int) -> None:
    assert simulate(seed).record.text() == simulate(seed).record.text()


def test_other_seeds_have_other_histories() -> None:
    assert len({simulate(seed).record.digest() for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_the_order_of_hashes_does_not_matter(hash_seed: str) -> None:
    command = [sys.executable, "-m", "support.simulation", "--log", "--from", str(SEEDS[0])]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    shown = subprocess.run(
        command, cwd=TESTS, env=env, capture_output=True, text=True, timeout=60, check=False
    )

    assert simulate(SEEDS[0]).record.text() in shown.stdout, shown.stderr
