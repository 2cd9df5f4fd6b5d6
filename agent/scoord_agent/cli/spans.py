"""Durations as people type them on the command line."""

import re
from typing import Final

import click

_SPAN = re.compile(r"(\d{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_S: Final = 365 * 86_400


def span(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float:
    """Read a duration in seconds; 0 when there is none. Raises BadParameter."""
    if value is None:
        return 0.0
    seconds = seconds_in(value)
    if not 0 < seconds <= _MOST_S:
        raise click.BadParameter(f"{value!r} is out of range; want 1s to {_MOST_S // 86_400}d")
    return seconds


def seconds_in(value: str) -> float:
    """Read a duration of any length. Raises BadParameter."""
    found = _SPAN.fullmatch(value)
    if not found:
        raise click.BadParameter(
            f"{value!r} is not a duration; want for example 90s, 30m, 2h or 7d"
        )
    return float(int(found[1]) * _SECONDS[found[2]])
