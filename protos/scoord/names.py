"""The form of names: paths in a project, the keys they are compared by, project names.

This module is pure; it does not know where a file or a repository is on disk
(``scoord.paths`` does).

A path is shown as written and compared by its key. Two names that any supported
file system takes for one file have one key: case is folded, Unicode is composed,
and the code points that HFS+ ignores are dropped. So a case-sensitive file system
may see ``A.py`` and ``a.py`` share a lock: locking too much is allowed, missing a
file's other name is not.
"""

import hashlib
import re
import unicodedata

from scoord.errors import InvalidPath
from scoord.ids import MachineId, ProjectId

MOST_PATH_BYTES = 4096
"""Length of a path in UTF-8. Components have no limit of their own: file systems differ."""

MOST_PROJECT_BYTES = 2 * MOST_PATH_BYTES
"""Length of a project's name. A worktree may be named by its place, with the machine before it.
The place is folded: that is seldom half as long again, and at most three times as long (U+1D1C0).
A name that is too long then is refused by coordinators; ``project:`` gives the worktree another.
"""

# Git refuses the same set in names that would alias ".git" on HFS+ (utf8.c, next_hfs_char).
_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# C0, DEL, C1 and lone surrogates. Bidirectional controls are legal in names;
# scoord.text takes them out where a name is shown.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NAMELESS = re.compile(r"(?:^|/)(\.{0,2})(?=/|$)")
_EXCERPT = 40
_OUTSIDE = "machine:"


def path_key(shown: str) -> str:
    """Return what ``shown`` is compared by. The key of a key is that key."""
    if shown.isascii():
        return shown.lower()
    # Unicode's canonical caseless match (D145): decomposed before folding, or
    # U+0345 among other marks folds differently in equal strings.
    visible = unicodedata.normalize("NFD", _IGNORED_BY_HFS.sub("", shown))
    return unicodedata.normalize("NFC", visible.casefold())


def path_digest(shown: str) -> str:
    """Return a short name of what ``shown`` is compared by, for use inside other names."""
    return hashlib.sha256(path_key(shown).encode()).hexdigest()[:8]


def check_shown(path: str) -> str:
    """Return ``path`` if it can name a file inside a project.

    Relative, ``/`` separators, no empty, ``.`` or ``..`` component (nor one that
    is so in the key), no control character, no lone surrogate, at most 4096 bytes
    of UTF-8. Raises InvalidPath, with the position of what is wrong.
    """
    if path.startswith("/"):
        raise InvalidPath(
            f"{_excerpt(path, 0)}: want a path inside the project, not an absolute one"
        )
    return _check_form(path, path)


def check_path(project: str, path: str) -> str:
    """Return ``path`` if it can name a file of ``project``; the coordinator's check of each.

    Outside any repository paths are absolute. Raises InvalidPath.
    """
    if not is_outside(project):
        return check_shown(path)
    if not path.startswith("/"):
        raise InvalidPath(f"{_excerpt(path, 0)}: want an absolute path, outside any repository")
    return _check_form(path, path[1:])


def check_characters(path: str, most_bytes: int = MOST_PATH_BYTES) -> str:
    """Return ``path`` if all its characters may be in one; its form is not looked at.

    Raises InvalidPath, with the position of what is wrong.
    """
    found = _UNPRINTABLE.search(path)
    if found:
        kind = "lone surrogate (not UTF-8)" if found[0] >= "\ud800" else "control character"
        place = f"U+{ord(found[0]):04X} at position {found.start()}"
        raise InvalidPath(f"{_excerpt(path, found.start())}: {kind} {place}")
    if len(path) * 4 > most_bytes and len(path.encode()) > most_bytes:
        size = len(path.encode())
        raise InvalidPath(f"{_excerpt(path, 0)}: {size} bytes; at most {most_bytes} are allowed")
    return path


def outside_project(machine: MachineId) -> ProjectId:
    """Return the project of this machine's files that are in no repository."""
    return ProjectId(f"{_OUTSIDE}{machine}")


def path_project(machine: MachineId, root: str) -> ProjectId:
    """Return the project of a worktree that only its place can name. Raises InvalidPath."""
    # Folded as every path: on macOS one folder is found under several spellings.
    return ProjectId(f"{_OUTSIDE}{machine}{path_key(check_characters(root))}")


def commit_project(commit: str) -> ProjectId:
    """Return the project that has ``commit`` as its root."""
    return ProjectId(f"root:{commit}")


def is_outside(project: str) -> bool:
    """Whether ``project`` holds the files of a machine that are in no repository."""
    return project.startswith(_OUTSIDE) and "/" not in project


def _check_form(path: str, below_root: str) -> str:
    check_characters(path)
    # The key decides too: an ignorable between two dots would hide a "..".
    for form in (below_root, path_key(below_root)):
        found = _NAMELESS.search(form)
        if found:
            what = f"{found[1]!r}" if found[1] else "nothing"
            raise InvalidPath(
                f"{_excerpt(form, found.start())}: {what} at position {found.start()},"
                " where the name of a file or folder belongs"
            )
    return path


def _excerpt(path: str, position: int) -> str:
    """Quote the neighbourhood of a position, with what cannot be printed escaped."""
    start = max(0, position - _EXCERPT)
    end = position + _EXCERPT
    before, after = "…" if start else "", "…" if end < len(path) else ""
    return f"{before}{path[start:end]!r}{after}"
