"""Several things that are wrong at once, told together.

Who mends a file wants to know all that is wrong with it, and not one thing after
the other. It knows nothing of settings.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from scoord.errors import InvalidConfig

MOST = 10
"""How many faults are told at once."""

MORE = "more is wrong; correct these first"

T = TypeVar("T")


def gathered(parts: Iterable[Callable[[], T]]) -> list[T]:
    """Return what all ``parts`` return. Raises one InvalidConfig for all that raise one."""
    results, faults = list[T](), list[InvalidConfig]()
    for part in parts:
        try:
            results.append(part())
        except InvalidConfig as fault:
            faults.append(fault)
        if len(faults) > MOST:
            break
    refuse(faults)
    return results


def refuse(faults: Iterable[InvalidConfig]) -> None:
    """Raise an InvalidConfig with a line for each of ``faults``, the same one once, if any."""
    lines = [line for fault in islice(faults, MOST + 1) for line in fault.message.splitlines()]
    told = [line for line in dict.fromkeys(lines) if line != MORE]
    if told:
        more = [MORE] if len(told) > MOST or MORE in lines else []
        raise InvalidConfig("\n".join([*told[:MOST], *more]))
