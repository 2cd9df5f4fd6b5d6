"""Which projects there are, and what is in them: a name alone tells which it is of.

No file of the one is called as one of the other, and no pattern of the one matches there. So
whatever goes by names need not know that there are two.
"""

import random
from collections.abc import Iterable, Sequence

from scoord.ids import ProjectId

PROJECT = ProjectId("example.org/team/shop")
SECOND = ProjectId("example.org/team/tools")

PATTERNS = {
    PROJECT: ("src/**", "src/*0.py", "src/file1*", "file2.py/"),
    SECOND: ("lib/**", "lib/*0.py", "lib/other1*"),
}

SECOND_FILES = ("lib/other0.py", "lib/other1.py")

_OFTEN = 1 / 3
"""In how many histories there is a second one."""


def project_of(name: str) -> ProjectId:
    """The project of a file or pattern."""
    return SECOND if name.startswith("lib/") else PROJECT


def has_second(seed: int) -> bool:
    """Whether the history of a seed has a second project; drawn apart from all else there."""
    return _of_second(seed).random() < _OFTEN


def chance_of_second(seed: int) -> random.Random:
    """What is drawn of the second project alone: the rest stays as it is without one."""
    rng = _of_second(seed)
    rng.random()
    return rng


def _of_second(seed: int) -> random.Random:
    return random.Random(f"second project of {seed}")


def spans(names: Iterable[str]) -> bool:
    """Whether files are of both."""
    return len({project_of(name) for name in names}) > 1


def of_project(project: str, names: Iterable[str]) -> Sequence[str]:
    """Those that are of one."""
    return tuple(name for name in names if project_of(name) == project)
