"""Work that is written down in files of the repository."""

import json
import time
from pathlib import Path

import pytest

from scoord_agent.knowledge.backlog import (
    MOST_BYTES,
    MOST_MARKDOWN,
    MOST_TASKS,
    FileTask,
    parsed,
    problems,
    read,
)


def told(tasks: list[FileTask]) -> list[tuple[str, bool]]:
    return [(task.title, task.done) for task in tasks]


def test_check_boxes_are_tasks() -> None:
    text = """
# Later
- [ ] write docs
* [x] fix login
  1. [X] deep
- not a box
- [] nor this
```
"""
    assert [("write docs", False), ("fix login", True), ("deep", True)] == told(
        parsed("T.md", text)
    )


@pytest.mark.parametrize(
    "code",
    [
        "```sh\n# Run\n- [ ] example\n```",
        "~~~\n```\n# Run\n- [ ] example\n~~~~",
        "````\n```\n- [ ] example\n````",
        "- ```\n  - [ ] example\n  ```",
        "> ```\n> # Run\n> - [ ] example\n> ```",
        "> > > ```\n> > > - [ ] example\n> > > ```",
        "- one\n  - two\n\n    ```\n\n    - [ ] example\n    ```",
        "10. one\n\n\t```\n\t- [ ] example\n\t```",
        "- one\n```\n- [ ] example\n```",
        "```once```",
        "<!--\n# Run\n- [ ] example\n-->",
        "> - [ ] quoted",
        "- > - [ ] quoted",
    ],
)
def test_nothing_in_a_block_of_code_is_a_task_or_a_heading(code: str) -> None:
    (task,) = parsed("T.md", f"# Login\n{code}\n- [ ] fix it\n")

    assert ("fix it", ("Login",)) == (task.title, task.topics)


@pytest.mark.parametrize(
    "above",
    [
        "Begin with\n\n    ```\n\n",
        "- listed\n\nBegin with\n\n\t```\n\n",
        "- a list item\n  ```\n  code\n\n",
        "1. a list item\n\n   > ```\n   > code\n\n",
        "- one\n  - two\n    ```\n    code\n",
        "1. one\n\n  ```sh\nmake\n  ```\n\n",
        "1. one\n  ```sh\n  make\n```\n\n",
        "-   one\n\n  ```\n  code\nmore\n  ```\n\n",
        "* * *\n\n  ```\n  code\n```\n\n",
        "> ```\n> code\n\n",
        "> ```\n",
        "```\n    ```\n```\n",
        "```\r\ncode\r\n```\r\n",
        "- one\n  > quoted\n\n      ```\n\n",
    ],
)
def test_a_block_of_code_that_is_shown_or_ends_with_its_list_hides_no_task(above: str) -> None:
    """What begins four blanks deep is code itself."""
    assert [("fix it", False)] == told(parsed("T.md", f"{above}- [ ] fix it\n"))


def test_the_heading_is_its_topic() -> None:
    first, second = parsed("T.md", "- [ ] a\n## Login ##\n- [ ] b\n")

    assert ((), ("Login",)) == (first.topics, second.topics)


@pytest.mark.parametrize(
    ("written", "heading"),
    [
        ("# a b", "a b"),
        ("### a ## ", "a"),
        ("# a # #", "a #"),
        ("# C#", "C#"),
        ("a\n===", "a"),
        ("a\nb\n---", "a b"),
    ],
)
def test_a_heading_may_be_closed_by_what_opens_it(written: str, heading: str) -> None:
    (task,) = parsed("TODO.md", f"{written}\n- [ ] x")

    assert (heading,) == task.topics


@pytest.mark.parametrize("written", ["#", "# #", "- # a", "> # a", "> a\n---", "    # a"])
def test_what_says_nothing_or_is_inside_of_something_is_no_heading(written: str) -> None:
    (task,) = parsed("TODO.md", f"{written}\n\n- [ ] x")

    assert () == task.topics


@pytest.mark.parametrize(
    "above",
    ["", "- one\n      ", "- one\n\t\t", "- ", "1. - ", "Next\n2. first\n", "-   ", "10)\t"],
)
def test_a_box_counts_wherever_an_item_or_text_may_be(above: str) -> None:
    """One that is too deep to be an item, or no list's first number, is text with a box."""
    assert [("fix it", False)] == told(parsed("T.md", f"{above}- [ ] fix it\n"))


def test_the_second_and_third_step_are_tasks_as_the_first() -> None:
    text = "1. [ ] Build\n\n  ```sh\nmake all\n  ```\n\n2. [ ] Ship\n3. [ ] Tell"

    assert [("Build", False), ("Ship", False), ("Tell", False)] == told(parsed("T.md", text))


def test_lists_of_some_depth_hide_nothing() -> None:
    deep = "".join(f"{'  ' * depth}- [ ] {depth}\n" for depth in range(15))

    assert 16 == len(parsed("T.md", f"{deep}- [ ] last\n"))


@pytest.mark.parametrize("part", [" ", "#", "# ", "[ ] ", "- [ ] ", "1. ", "- ", "`", "~", "\t"])
@pytest.mark.parametrize("begin", ["# a", "- [ ] x", "- [ ]", "```", ""])
def test_no_line_takes_more_than_its_length_to_read(begin: str, part: str) -> None:
    """A heading of 2 kB blanks took seconds, and all hooks of the machine waited."""
    begun = time.process_time()

    parsed("TODO.md", f"{begin}{part * (100_000 // len(part))}b\n- [ ] y")

    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "part",
    [
        "> ```\na\n",
        ">> #\na\n",
        "- > -\na\n",
        "- #\na\n",
        "> a\n",
        '[a]: b\n"',
        "<!--\n\n",
        "- a\n\n",
    ],
)
def test_no_row_of_blocks_takes_more_than_its_length_to_read(part: str) -> None:
    """Of the first, which may each go on to the end, 20 kB took ten seconds."""
    begun = time.process_time()

    parsed("TODO.md", part * (20_000 // len(part)))

    assert time.process_time() - begun < 5


def test_issues_are_tasks_as_github_exports_them() -> None:
    issues = [
        {"number": 7, "title": "Fix login", "state": "OPEN", "labels": [{"name": "auth"}]},
        {"number": 8, "title": "Old", "state": "closed"},
        {"title": "No number", "labels": ["web", 3]},
    ]
    found = parsed("issues.json", json.dumps(issues))

    assert [("Fix login", False), ("Old", True), ("No number", False)] == told(found)
    assert ("issues.json#7", ("auth",)) == (found[0].task_id, found[0].topics)
    assert ("web",) == found[2].topics


def test_a_task_keeps_its_id_while_its_text_stays() -> None:
    (before,) = parsed("T.md", "- [ ] fix login\n")
    _, after = parsed("T.md", "- [ ] new\n- [x] fix login\n")

    assert before.task_id == after.task_id


def test_one_title_is_one_task() -> None:
    assert 1 == len(parsed("T.md", "- [ ] a\n- [ ] A\n"))


@pytest.mark.parametrize(("one", "other"), [("x", " "), (" ", "x")])
def test_of_one_title_that_is_ticked_once_the_open_one_counts(one: str, other: str) -> None:
    """A list for each release has the same titles."""
    (task,) = parsed("T.md", f"# 1.0\n- [{one}] test it\n# 1.1\n- [{other}] Test it\n")

    assert (False, ("1.1",) if one == "x" else ("1.0",)) == (task.done, task.topics)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "3", '[{"title": 3}, [], null]', '{"a": 1}', '[{"title": "\\u001b"}]'],
)
def test_what_is_no_list_of_issues_has_no_tasks(text: str) -> None:
    assert [] == parsed("issues.json", text)


def test_a_title_is_one_harmless_line() -> None:
    issue = {"title": "a\n\x1b[2J<system>" + "x" * 1000}
    (task,) = parsed("issues.json", json.dumps([issue]))

    assert task.title.startswith("a \u2039system\u203a")
    assert 200 >= len(task.title)


def test_a_file_has_an_end() -> None:
    assert MOST_TASKS == len(parsed("T.md", "".join(f"- [ ] {n}\n" for n in range(2000))))


@pytest.mark.parametrize(
    ("file", "content"), [("TODO.md", "- [ ] ship"), ("issues.json", '[{"title": "ship"}]')]
)
def test_a_byte_order_mark_hides_nothing(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content, encoding="utf-8-sig")
    assert told(read(tmp_path, [file])) == [("ship", False)]
    assert problems(tmp_path, [file]) == []


def test_only_files_of_the_worktree_are_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.md").write_text("- [ ] secret\n")
    (root / "link.md").symlink_to(tmp_path / "secret.md")
    (root / "zero.md").symlink_to("/dev/zero")
    (root / "T.md").write_text("- [ ] a\n")

    found = read(root, ["link.md", "zero.md", "gone.md", ".", "T.md"])

    assert [("a", False)] == told(found)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{bad", "is not JSON"),
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1, 2]", "names no task (a list with titles)"),
        ('{"a": 1}', "names no task (a list with titles)"),
        ('[{"x": 1}]', "names no task (a list with titles)"),
        ("null", "names no task (a list with titles)"),
        (f'["{"x" * MOST_BYTES}"]', "is over 1,024 KiB, and not read to its end"),
    ],
    ids=["broken", "empty", "deep", "numbers", "no list", "no titles", "null", "large"],
)
def test_an_export_that_cannot_be_read_as_tasks_is_told(
    tmp_path: Path, content: str, why: str
) -> None:
    (tmp_path / "issues.json").write_text(content)

    assert [f"tasks: issues.json {why}"] == problems(tmp_path, ["issues.json"])


@pytest.mark.parametrize("content", ["[]", '{"issues": []}', '[{"x": 1}, {"title": "a"}]'])
def test_an_export_of_no_issues_is_right(tmp_path: Path, content: str) -> None:
    (tmp_path / "issues.json").write_text(content)

    assert [] == problems(tmp_path, ["issues.json"])


def test_a_list_that_is_not_read_to_its_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "long.md").write_text("- [ ] a\n" + "x" * MOST_MARKDOWN)
    (tmp_path / "many.md").write_text("".join(f"- [ ] {n}\n" for n in range(MOST_TASKS + 1)))
    (tmp_path / "just.md").write_text("".join(f"- [ ] {n}\n" for n in range(MOST_TASKS)))
    (tmp_path / "done.md").write_text("# All is done\n")

    assert [
        "tasks: long.md is over 256 KiB, and not read to its end",
        "tasks: many.md names over 500 tasks; those after them do not count",
    ] == problems(tmp_path, ["long.md", "many.md", "just.md", "done.md"])
    assert [("a", False)] == told(read(tmp_path, ["long.md"]))


def test_what_is_no_file_of_the_worktree_is_told(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "other.md").write_text("- [ ] other\n")
    (root / "link.md").symlink_to(tmp_path / "other.md")

    assert [f"tasks: {file} is no file of {root}" for file in ("link.md", "gone.md")] == problems(
        root, ["link.md", "gone.md"]
    )


@pytest.mark.parametrize(
    ("head", "topics"),
    [
        ("---\ntitle: api\nkinds:\n- one\n--- \n", ()),
        ("---\n---\n", ()),
        ("\n---\ntitle: api\n---\n", ("title: api",)),
        ("---\n# Login\n", ("Login",)),
        ("# Login\n---\n", ("Login",)),
    ],
)
def test_what_is_said_of_a_page_ahead_of_it_is_no_heading(
    head: str, topics: tuple[str, ...]
) -> None:
    (task,) = parsed("T.md", f"{head}- [ ] fix it\n")

    assert ("fix it", topics) == (task.title, task.topics)


def test_tasks_between_two_lines_are_no_head() -> None:
    assert [("one", False), ("two", True)] == told(
        parsed("T.md", "---\n- [ ] one\n\n---\n- [x] two\n")
    )


@pytest.mark.parametrize(("depth", "is_told"), [(19, False), (20, True), (30, True)])
def test_lists_that_hide_what_follows_are_told(
    tmp_path: Path, depth: int, *, is_told: bool
) -> None:
    deep = "".join(f"{'  ' * level}- [ ] task {level}\n" for level in range(depth))
    (tmp_path / "TODO.md").write_text(f"{deep}\n# Later\n\n- [ ] last\n")

    said = "tasks: TODO.md nests 20 lists in each other; nothing after them counts"
    assert ([said] if is_told else []) == problems(tmp_path, ["TODO.md"])
    is_last = [task.title == "last" for task in read(tmp_path, ["TODO.md"])]
    assert any(is_last) is not is_told
