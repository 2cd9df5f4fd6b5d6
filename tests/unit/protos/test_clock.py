"""What the clock of a machine counts."""

import time

import pytest

from scoord.clock import SystemClock

UP_S, ASLEEP_S = 100.0, 3_600.0


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="elsewhere CLOCK_MONOTONIC does")
def test_the_time_that_a_machine_slept_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {time.CLOCK_MONOTONIC: UP_S, time.CLOCK_BOOTTIME: UP_S + ASLEEP_S}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)

    assert UP_S + ASLEEP_S == SystemClock().now()


def test_the_clock_never_steps_back() -> None:
    clock = SystemClock()
    seen = [clock.now() for _ in range(1_000)]

    assert sorted(seen) == seen
