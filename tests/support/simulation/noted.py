"""Which history showed each planted mistake when that was last noted, in ``noted.json``.

It is tried first, which spares hundreds that show nothing. As the program changes, so do
its histories: where a noted one shows nothing any more, all are looked through, as if none
were noted. ``python -m support.simulation --find NAME --note`` notes the one it finds.
"""

import json
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


def seeds() -> dict[str, int]:
    """By mutant, the history that showed it."""
    found: dict[str, int] = json.loads(FILE.read_text())
    return found


def first(mutant: str, within: int) -> Iterator[int]:
    """All seeds below ``within``, the noted one first."""
    noted = seeds().get(mutant)
    if noted is not None:
        yield noted
    yield from (seed for seed in range(within) if seed != noted)


def note(mutant: str, seed: int) -> None:
    """The history that shows ``mutant`` now."""
    FILE.write_text(json.dumps(seeds() | {mutant: seed}, indent=2, sort_keys=True) + "\n")
