"""Work that is written down in files of the repository.

Markdown with check boxes, as in a TODO, and JSON with titles and states, as GitHub
exports issues. A task of a file is ticked off there, not here. What a file says is
untrusted text.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from scoord.regular import read_regular
from scoord.text import one_line

MOST_BYTES = 1024 * 1024
MOST_TASKS = 500
"""Of one file."""

_BOX = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s+\[([ xX])\]\s+(\S.*)$")
_HEADING = re.compile(r"^#{1,6}\s+(\S.*)$")
_DONE = frozenset({"closed", "done", "completed", "resolved", "merged"})


@dataclass(frozen=True, slots=True)
class FileTask:
    """One task that a file tells of."""

    task_id: str
    """``TODO.md#3fa94b0c`` or ``issues.json#12``; the same as long as the text is."""
    title: str
    source: str
    """The file."""
    topics: tuple[str, ...] = ()
    """The heading that it stands under, or its labels."""
    done: bool = False


def read(root: Path, files: Iterable[str]) -> list[FileTask]:
    """The tasks of all ``files`` of the worktree at ``root``; one that cannot be read has none."""
    return [task for file in files for task in parsed(file, _text(root, file))]


def parsed(file: str, text: str) -> list[FileTask]:
    """The tasks that ``text``, the content of ``file``, tells of; each title once."""
    found = _of_json(file, text) if file.lower().endswith(".json") else _of_markdown(file, text)
    by_id: dict[str, FileTask] = {}
    for task in found:
        if len(by_id) >= MOST_TASKS:
            break
        by_id.setdefault(task.task_id, task)
    return list(by_id.values())


def problems(root: Path, files: Iterable[str]) -> list[str]:
    """What is wrong with the names of ``files`` in the worktree at ``root``, a line each."""
    gone = (file for file in files if not (root / file).is_file())
    return [f"tasks: {one_line(file)} is no file of {one_line(str(root))}" for file in gone]


def _of_markdown(file: str, text: str) -> Iterator[FileTask]:
    heading: tuple[str, ...] = ()
    for line in text.splitlines():
        if match := _HEADING.match(line):
            heading = (one_line(_unclosed(match[1]), 80),)
        elif (match := _BOX.match(line)) and (title := one_line(match[2])):
            yield FileTask(_named(file, title), title, file, heading, match[1] != " ")


def _unclosed(heading: str) -> str:
    """A heading without the ``#`` that may close it, too.

    In the expression they would be looked for from each blank on: a line of 2 kB would
    keep the interpreter, and so every hook of the machine, for seconds.
    """
    return heading.rstrip().rstrip("#").rstrip() or "#"


def _of_json(file: str, text: str) -> Iterator[FileTask]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(items, dict):
        items = next((value for value in items.values() if isinstance(value, list)), [])
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("title"), str):
            yield from _of_issue(file, item)


def _of_issue(file: str, item: dict[str, Any]) -> Iterator[FileTask]:
    title, number, state = one_line(item["title"]), item.get("number"), item.get("state")
    if not title:
        return
    plain = isinstance(number, int) and not isinstance(number, bool)
    name = f"{file}#{number}" if plain else _named(file, title)
    labels = item.get("labels")
    topics = tuple(one_line(text, 80) for text in map(_label, _listed(labels)) if text)
    done = isinstance(state, str) and state.lower() in _DONE
    yield FileTask(name, title, file, topics, done)


def _listed(value: object) -> list[Any]:
    return value[:20] if isinstance(value, list) else []


def _label(label: object) -> str:
    name = label.get("name") if isinstance(label, dict) else label
    return name if isinstance(name, str) else ""


def _named(file: str, title: str) -> str:
    return f"{file}#{sha256(title.casefold().encode()).hexdigest()[:8]}"


def _text(root: Path, file: str) -> str:
    """A regular file inside the worktree; not what a link in it leads to elsewhere."""
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            return ""
        return (read_regular(path, MOST_BYTES) or b"").decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
