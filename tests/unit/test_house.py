"""Rules of the house that no tool knows."""

import os
import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from scoord.happenings import DETAILS, KINDS
from scoord.limits import MOST_PATHS
from scoord_agent.cli.hold import lock

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    ROOT / path
    for path in (
        "protos/scoord",
        "server/scoord_server",
        "agent/scoord_agent",
        "hooks/scoord_hooks",
    )
]
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
MOST_LINES = 600

SOURCES = sorted(
    file
    for folder in ("protos", "server", "agent", "hooks", "tests", "bench")
    for file in (ROOT / folder).rglob("*.py")
    if not GENERATED.search(file.name)
)


def _declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["entry-points"]["scoord.commands"])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_package_tells_others_its_types(package: Path) -> None:
    assert (package / "py.typed").is_file()


def test_no_file_is_too_long_to_read() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_bytes().splitlines()) for file in SOURCES}

    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_contributors_are_told_the_limit_that_files_have() -> None:
    taste = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert f"; {MOST_LINES} are the limit" in taste


@pytest.mark.parametrize("name", sorted(_declared()))
def test_a_declared_command_loads(name: str) -> None:
    (point,) = entry_points(group="scoord.commands", name=name)
    command = point.load()

    assert isinstance(command, click.Command)
    assert name == command.name
    assert command.help


def test_what_is_installed_is_what_is_declared() -> None:
    installed = {point.name: point.value for point in entry_points(group="scoord.commands")}

    assert _declared() == installed


def test_the_readme_and_ci_run_the_same_tests() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert ci.splitlines()[-1] == "exec make test"
    assert re.search(r"^make test\b", readme, re.MULTILINE)


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert [name for name in _declared() if f"scoord {name}" not in readme] == []


def test_each_kind_of_history_is_explained_and_those_that_are_left_out_have_a_star() -> None:
    told = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`( \*)? \| \w", told, re.MULTILINE)

    assert [kind for kind, _ in rows] == list(KINDS)
    assert {kind for kind, star in rows if star} == set(DETAILS)


def test_the_readme_lists_every_page_of_the_docs() -> None:
    listed = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[-1]

    assert [
        it.name for it in (ROOT / "docs").glob("*.md") if f"(docs/{it.name})" not in listed
    ] == []


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    assert [target for target in phony.split() if f"make {target} " not in shown] == []


def test_every_pinned_dependency_is_pinned_once() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [line.partition("==")[0].lower() for line in lines if line and line[0] != "#"]

    assert len(names) == len(set(names))


def test_the_help_of_lock_tells_the_limit_that_the_coordinator_has() -> None:
    assert f"up to {MOST_PATHS} in a project" in str(lock.help)


def test_in_ci_what_a_test_needs_and_is_not_here_is_a_failure(tmp_path: Path) -> None:
    """Whatever the machine that runs it sets: without this, such tests are skipped there."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$CI: $*"\n', encoding="ascii")
    make.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}

    said = subprocess.check_output([ROOT / ".ci" / "run"], env=env, text=True)

    assert said == "true: test\n"
