"""Work that is written down in files of the repository.

Markdown with check boxes, as in a TODO, and JSON with titles and states, as GitHub
exports issues. A task of a file is ticked off there, not here. What a file says is
untrusted text.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from scoord.regular import read_regular
from scoord.text import one_line

MOST_BYTES = 1024 * 1024
MOST_MARKDOWN = 256 * 1024
"""It is read when a session starts; so much of nothing but short blocks takes 2 s."""
MOST_TASKS = 500
"""Of one file."""

_BOX = re.compile(r"^\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)+\[([ xX])\]\s+(\S.*)$")
_HEAD = "---"
"""The line before and after what is said of a page ahead of it."""
_DEEPEST = 40
"""So many blocks in each other, two of them a list: what is deeper ends the text."""
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
    if len(content) > (most := _most_bytes(file)):
        return f"is over {most >> 10:,} KiB, and not read to its end"
    text = _decoded(content)
    if len(parsed(file, text, MOST_TASKS + 1)) > MOST_TASKS:
        return f"names over {MOST_TASKS} tasks; those after them do not count"
    return _problem_of_json(file, text) if _is_json(file) else _problem_of_markdown(text)


def _problem_of_markdown(text: str) -> str:
    items = (token for token in _blocks(text.splitlines()) if token.type == "list_item_open")
    if any(item.level == _DEEPEST - 1 for item in items):
        return f"nests {_DEEPEST // 2} lists in each other; nothing after them counts"
    return ""


def _problem_of_json(file: str, text: str) -> str:
    """As when an export failed. A list of no issues is right, as is a text without boxes."""
    try:
        issues = _issues(text)
    except ValueError:
        return "is not JSON"
    return "" if issues == [] or parsed(file, text, 1) else "names no task (a list with titles)"


def _is_json(file: str) -> bool:
    return file.lower().endswith(".json")


def _most_bytes(file: str) -> int:
    return MOST_BYTES if _is_json(file) else MOST_MARKDOWN


def _of_markdown(file: str, text: str) -> Iterator[FileTask]:
    heading: tuple[str, ...] = ()
    lines = _below_head(text.splitlines())
    for before, token in pairwise(_blocks(lines)):
        if token.type != "inline":
            continue
        if before.type == "heading_open" and before.level == 0:
            heading = tuple(filter(None, [one_line(token.content, 80)]))
        else:
            yield from _with_boxes(file, lines[slice(*token.map or (0, 0))], heading)


def _below_head(lines: Sequence[str]) -> Sequence[str]:
    """Without the YAML that a page of a site begins with: its end would make it a heading."""
    marks = [number for number, line in enumerate(lines) if line.rstrip() == _HEAD][:2]
    is_head = len(marks) == 2 and marks[0] == 0 and not any(map(_BOX.match, lines[: marks[1]]))
    return lines[marks[1] + 1 :] if is_head else lines


def _with_boxes(file: str, lines: Sequence[str], heading: tuple[str, ...]) -> Iterator[FileTask]:
    """Of the lines of a text those with a box, also what is too deep to be a list item."""
    for match in filter(None, map(_BOX.match, lines)):
        if title := one_line(match[2]):
            yield FileTask(_named(file, title), title, file, heading, match[1] != " ")


def _blocks(lines: Sequence[str]) -> list[Token]:
    """What the blocks of a Markdown text are; what is in a line of text is not looked at.

    The reader is made anew: one is not safe to be used by two threads at once.
    """
    markdown = MarkdownIt("commonmark", {"maxNesting": _DEEPEST}).disable(["inline", "reference"])
    markdown.block.ruler.at("blockquote", _quotation, {"alt": ["paragraph", "list"]})
    return markdown.parse("\n".join(lines))


def _quotation(state: StateBlock, line: int, _end: int, silent: bool) -> bool:  # noqa: FBT001
    """A rule for markdown-it: a quoted line is a block, and nothing in it.

    Its own looks from each quotation on to where the last of a row may end: 30 kB took
    it half a minute, and twice as many four times as long.
    """
    begin = state.bMarks[line] + state.tShift[line]
    if state.is_code_block(line) or not state.src.startswith(">", begin):
        return False
    if not silent:
        state.line = line + 1
    return True


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
    return _decoded((_content(root, file) or b"")[: _most_bytes(file)])


def _decoded(content: bytes) -> str:
    return content.decode("utf-8-sig", "replace")


def _content(root: Path, file: str) -> bytes | None:
    """A regular file inside the worktree; not what a link in it leads to elsewhere.

    Up to one byte more than counts, so that it shows where there is more.
    """
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            return None
        return read_regular(path, _most_bytes(file) + 1)
    except (OSError, ValueError):
        return None
