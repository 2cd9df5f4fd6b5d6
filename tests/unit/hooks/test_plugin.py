"""The plugin's own files: they say what the wiring says, and its launcher finds ``scoord``."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scoord import local
from scoord_hooks import plugin_folder
from scoord_hooks.claude_wiring import EVENTS, Transport, UnreachableAction, Wiring, entries_of
from scoord_hooks.plugin_wiring import MARKETPLACE, NAME, hooks_document

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "hooks" / "scoord_hooks" / "plugin"
LAUNCHER = PLUGIN / "bin" / "scoord"


def read(file: Path) -> dict[str, object]:
    found = json.loads(file.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_the_plugin_wires_what_the_wiring_says() -> None:
    assert hooks_document() == read(PLUGIN / "hooks" / "hooks.json")


def test_the_plugin_sends_the_events_that_settings_send_and_asks_for_the_same_tools() -> None:
    command, warn = Transport.COMMAND, UnreachableAction.WARN
    wiring = Wiring(command, 1, "", "", "bash", exec_form=False, unreachable=warn)
    wired = {event: group.get("matcher") for event, group in entries_of(wiring).groups}
    hooks = read(PLUGIN / "hooks" / "hooks.json")["hooks"]
    assert isinstance(hooks, dict)
    assert {event: hooks[event][0].get("matcher") for event in EVENTS} == wired
    assert set(hooks) - set(EVENTS) == {"UserPromptExpansion"}


def test_plugin_marketplace_and_distribution_are_of_one_version() -> None:
    market = read(ROOT / ".claude-plugin" / "marketplace.json")
    assert isinstance(market["plugins"], list)
    (listed,) = market["plugins"]
    manifest = read(PLUGIN / ".claude-plugin" / "plugin.json")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [market["name"], listed["name"], manifest["name"]] == [MARKETPLACE, NAME, NAME]
    assert {listed["version"], manifest["version"], plugin_folder.version()} == {project["version"]}
    assert ROOT / listed["source"] == PLUGIN


@pytest.mark.parametrize("name", ["status", "refresh", "unlock", "history"])
def test_only_a_person_calls_a_slash_command_and_none_puts_its_words_into_a_shell(
    name: str,
) -> None:
    skill = (PLUGIN / "skills" / f"session-{name}" / "SKILL.md").read_text(encoding="utf-8")
    assert "disable-model-invocation: true" in skill.split("---")[1]
    for placeholder in ("$ARGUMENTS", "!`", "```!", "$1", "$0"):
        assert placeholder not in skill


def test_what_is_called_may_be_run() -> None:
    for program in (LAUNCHER, PLUGIN / "hooks" / "shim.sh"):
        assert stat.S_IMODE(program.stat().st_mode) & 0o111


def launch(
    *arguments: str, launcher: Path = LAUNCHER, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", launcher, *arguments],
        env={"PATH": os.defpath, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def echo(folder: Path, name: str, says: str) -> Path:
    """A program that says who it is and what it was given, an argument a line."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\necho {says}\nprintf "<%s>\\n" "$@"\n')
    program.chmod(0o755)
    return program


def apart(tmp_path: Path) -> Path:
    """The launcher where a marketplace would copy it: no checkout is around it."""
    copy = tmp_path / "it's a $(touch x) cache" / "bin" / "scoord"
    copy.parent.mkdir(parents=True)
    shutil.copy(LAUNCHER, copy)
    return copy


def test_the_launcher_runs_the_scoord_that_the_agent_wrote_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "executable", str(echo(tmp_path / "a b", "python", "recorded")))
    local.write_hook_env()
    for place in (
        {"SCOORD_STATE_DIR": str(tmp_path / "state")},
        {"XDG_STATE_HOME": str(tmp_path)},
        {"HOME": str(tmp_path)},
    ):
        if "SCOORD_STATE_DIR" not in place:
            target = tmp_path / ("scoord" if "XDG_STATE_HOME" in place else ".local/state/scoord")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(tmp_path / "state")
        launcher = apart(tmp_path / next(iter(place)))
        done = launch("unlock", "a b", "$(x)", "", launcher=launcher, **place)
        assert done.stdout == (
            "recorded\n<-P>\n<-m>\n<scoord_agent.cli>\n<unlock>\n<a b>\n<$(x)>\n<>\n"
        )


def test_the_launcher_never_runs_itself(tmp_path: Path) -> None:
    copy = apart(tmp_path)
    found = echo(tmp_path / "path", "scoord", "on path")
    path = f"{copy.parent}:{found.parent}:{os.defpath}"
    done = launch("status", launcher=copy, PATH=path, HOME=str(tmp_path))
    assert done.stdout == "on path\n<status>\n"
    alone = launch("status", launcher=copy, PATH=f"{copy.parent}:{os.defpath}", HOME=str(tmp_path))
    assert (alone.returncode, alone.stderr) == (
        127,
        "error: no scoord on this machine; install it, then run: scoord up\n",
    )


def test_a_recorded_python_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "hook.env").write_text("SCOORD_PYTHON=/gone/python\n")
    found = echo(tmp_path / "path", "scoord", "on path")
    path = f"{found.parent}:{os.defpath}"
    done = launch(launcher=apart(tmp_path), PATH=path, SCOORD_STATE_DIR=str(state))
    assert done.stdout.startswith("on path\n")
