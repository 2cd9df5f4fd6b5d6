"""Which ``SCOORD_*`` variables there are, to find the one that is not quite one of them.

Others may have variables of that form too: only what is nearly one of ours is told.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from scoord.layers import variable
from scoord.program_variables import OF_PROGRAMS
from scoord.sections import SECTIONS

_NEAR: Final = 0.85


def misspelt(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that nobody reads and that is nearly one of ours, and that one."""
    known = {*OF_PROGRAMS, *_of_settings()}
    for name in environ:
        if name.startswith("SCOORD_") and name not in known:
            for near in get_close_matches(name, sorted(known), n=1, cutoff=_NEAR):
                yield name, near


def _of_settings() -> Iterator[str]:
    for section, model in SECTIONS.items():
        yield from (variable(section, key) for key in model.model_fields)
