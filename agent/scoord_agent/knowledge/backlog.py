"""Work that is written down in files of the repository.

Markdown with check boxes, as in a TODO, and JSON with titles and states, as GitHub
exports issues. A task of a file is ticked off there, not here. What a file says is
untrusted text.
"""

import json
import re
import sys
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
_FENCE = re.compile(r"^\s*(?:(?:[-*+>]|\d{1,9}[.)])\s+)*(`{3,}(?=[^`]*$)|~{3,})")
"""What a block of code begins with, also in a list or a quotation."""
_QUOTED = re.compile(r"^(?:> ?)+")
_LISTED = re.compile(r"[ >]*(?:(?:[-*+]|\d{1,9}[.)])[ >]+)+")
"""What the text of a list item is behind."""
_CODE = 4
"""So many blanks more than its surroundings, and a line is code itself."""
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


def parsed(file: str, text: str, most: int = MOST_TASKS) -> list[FileTask]:
    """The tasks that ``text``, the content of ``file``, tells of; each title once.

    Where it stands more than once, as in a list for each release, one that is open counts.
    """
    found = _of_json(file, text) if _is_json(file) else _of_markdown(file, text)
    by_id: dict[str, FileTask] = {}
    for task in found:
        if len(by_id) >= most:
            break
        if by_id.setdefault(task.task_id, task).done:
            by_id[task.task_id] = task
    return list(by_id.values())


def problems(root: Path, files: Iterable[str]) -> list[str]:
    """What keeps tasks of ``files`` in the worktree at ``root`` from being known, a line each."""
    found = ((file, _problem(root, file)) for file in files)
    return [f"tasks: {one_line(file)} {problem}" for file, problem in found if problem]


def _problem(root: Path, file: str) -> str:
    content = _content(root, file)
    if content is None:
        return f"is no file of {one_line(str(root))}"
    if len(content) > MOST_BYTES:
        return f"is over {MOST_BYTES >> 20} MiB, and not read to its end"
    text = _decoded(content)
    if len(parsed(file, text, MOST_TASKS + 1)) > MOST_TASKS:
        return f"names over {MOST_TASKS} tasks; those after them do not count"
    return _problem_of_json(file, text) if _is_json(file) else ""


def _problem_of_json(file: str, text: str) -> str:
    """As when an export failed. A list of no issues is right, as is a text without boxes."""
    try:
        issues = _issues(text)
    except ValueError:
        return "is not JSON"
    return "" if issues == [] or parsed(file, text, 1) else "names no task (a list with titles)"


def _is_json(file: str) -> bool:
    return file.lower().endswith(".json")


def _of_markdown(file: str, text: str) -> Iterator[FileTask]:
    heading: tuple[str, ...] = ()
    for line in _outside_code(text.splitlines()):
        if match := _HEADING.match(line):
            heading = (one_line(_unclosed(match[1]), 80),)
        elif (match := _BOX.match(line)) and (title := one_line(match[2])):
            yield FileTask(_named(file, title), title, file, heading, match[1] != " ")


def _outside_code(lines: Iterable[str]) -> Iterator[str]:
    """Those in no fenced block: a box there is an example, and ``# ...`` a comment.

    A block ends with the list item that it is in.
    """
    fence, depth = "", 0
    for line in lines:
        text = _QUOTED.sub("", line.expandtabs(_CODE), count=1)
        if fence and _indent(text) >= depth:
            end = text.strip("> ")
            is_over = end.startswith(fence) and not end.strip(fence[0])
            fence = "" if is_over else fence
            continue
        depth = item.end() if (item := _LISTED.match(text)) else min(depth, _indent(text))
        match = _FENCE.match(text)
        fence = match[1] if match and match.start(1) - depth < _CODE else ""
        if not fence:
            yield line


def _indent(text: str) -> int:
    """How deep a line begins; of an empty one, deeper than any."""
    return len(text) - len(text.lstrip(" ")) if text.strip("> ") else sys.maxsize


def _unclosed(heading: str) -> str:
    """A heading without the ``#`` that may close it, too.

    In the expression they would be looked for from each blank on: a line of 2 kB would
    keep the interpreter, and so every hook of the machine, for seconds.
    """
    return heading.rstrip().rstrip("#").rstrip() or "#"


def _of_json(file: str, text: str) -> Iterator[FileTask]:
    try:
        issues = _issues(text)
    except ValueError:
        return
    for item in issues if isinstance(issues, list) else []:
        if isinstance(item, dict) and isinstance(item.get("title"), str):
            yield from _of_issue(file, item)


def _issues(text: str) -> object:
    """What should be the list of them: all there is, or the first list in it. Raises ValueError."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if isinstance(found, dict):
        return next((value for value in found.values() if isinstance(value, list)), None)
    return found


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
    return _decoded((_content(root, file) or b"")[:MOST_BYTES])


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _content(root: Path, file: str) -> bytes | None:
    """A regular file inside the worktree; not what a link in it leads to elsewhere.

    Up to one byte more than counts, so that it shows where there is more.
    """
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            return None
        return read_regular(path, MOST_BYTES + 1)
    except (OSError, ValueError):
        return None
