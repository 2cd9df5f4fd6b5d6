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


def chance_of_second(seed: int) -> random.Random | None:
    """What is drawn of the second project, if the history of a seed has one.

    Apart from all else there: the rest stays as it is without one.
    """
    rng = random.Random(f"second project of {seed}")
    return rng if rng.random() < _OFTEN else None


def spans(names: Iterable[str]) -> bool:
    """Whether files are of both."""
    return len({project_of(name) for name in names}) > 1


def of_project(project: str, names: Iterable[str]) -> Sequence[str]:
    """Those that are of one."""
    return tuple(name for name in names if project_of(name) == project)
