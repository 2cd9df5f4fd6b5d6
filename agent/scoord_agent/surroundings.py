"""What is known of a repository, as those ask for it who watch what sessions do.

No one here waits for what is not known yet: the rough answer stands in until it is.
"""

import re
from collections.abc import Sequence
from itertools import islice

from scoord.names import path_key
from scoord.paths import FileIdentity
from scoord_agent.activity import top_folder
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.knowledge.repository import Knowledge
from scoord_agent.local_session import LocalSession
from scoord_agent.touching import belonging_to, paths_of

_MOST_MEANT = 20
"""Files that are looked at for one prompt."""
_AMBIGUOUS = 3
"""Who names more files than this by one name, as ``__init__.py``, means none of them."""
_PATH = re.compile(r"(?:[^/.][^/]*/)+[^/]+\.[^/.]+")


class Surroundings:
    """Areas and imports of files."""

    def __init__(self, knowing: Knowing) -> None:
        self._knowing = knowing

    def area_of(self, file: FileIdentity) -> str:
        """The first area that a file is in; its folder at the top while none is known."""
        areas = self._knowing.areas(file.worktree) if file.worktree else None
        return next(iter(areas.of(file.key)), "") if areas else top_folder(file)

    def imports_of(self, file: FileIdentity) -> Sequence[str]:
        """The files of the repository that a file imports, as it did at the last commit."""
        knowledge = self._knowing.at_once(file.worktree) if file.worktree else None
        return knowledge.imports.imports(file.key) if knowledge else ()

    def belonging_to(self, file: FileIdentity) -> Sequence[str]:
        """The keys of a file's tests, or of a test's sources, where the repository has them."""
        knowledge = self._knowing.at_once(file.worktree) if file.worktree else None
        known = knowledge.habits.counterparts(file.shown) if knowledge else ()
        return belonging_to(file.shown, known)

    def meant_by(self, session: LocalSession, prompt: str) -> Sequence[FileIdentity]:
        """The files of a session's repository that a prompt names, or says are to be there."""
        worktree = self._knowing.worktree_at(session.root) if session.root else None
        if worktree is None:
            return ()
        knowledge = self._knowing.at_once(worktree) or Knowledge("", {})
        named = (_named(knowledge, key, word) for key, word in paths_of(prompt).items())
        found = {key: shown for files in named for key, shown in files}
        return [
            FileIdentity(worktree.project, shown, key, worktree)
            for key, shown in islice(found.items(), _MOST_MEANT)
        ]


def _named(knowledge: Knowledge, key: str, written: str) -> list[tuple[str, str]]:
    """Keys of files, and how they are shown; a path that names none is one of a new file.

    So is the name alone of a test of what is there: it will be where such tests are.
    """
    keys = knowledge.mentions.named(key)
    if len(keys) > _AMBIGUOUS:
        return []
    if not keys and _PATH.fullmatch(key):
        return [(key, written)]
    if not keys and "/" not in key and (new := knowledge.habits.new_test(written)):
        return [(path_key(new), new)]
    return [(each, knowledge.files[each]) for each in keys]
