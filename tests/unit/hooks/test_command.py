"""``scoord hooks`` as its user calls it, beside a listener that answers like an agent."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scoord.errors import InvalidConfig, InvalidPath
from scoord_hooks import claude_version
from scoord_hooks.command import hooks
from scoord_hooks.connectivity import agent_answers
from scoord_hooks.places import shim_path
from support.recording_agent import recording_agent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SCOORD_STATE_DIR", "XDG_STATE_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCOORD_AGENT_PORT", "9")  # the discard port: nobody listens there
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(claude_version, "installed", lambda: (2, 1, 330))
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(hooks, arguments)


def answered(result: Result) -> Mapping[str, object]:
    answer = json.loads(result.output)
    assert isinstance(answer, dict)
    return answer


def problems() -> dict[str, str]:
    events = answered(call("status", "--json"))["events"]
    assert isinstance(events, list)
    return {event["event"]: event["problem"] for event in events if event["problem"]}


def test_installing_without_an_agent_is_done_with_a_warning(home: Path) -> None:
    result = call("install")
    assert result.exit_code == 0
    assert f"{home}/.claude/settings.json: installed" in result.output
    assert "warning: no agent answers on port 9 yet" in result.output
    assert "scoord up" in result.output


@pytest.mark.parametrize("transport", ["http", "command"])
async def test_installing_tries_whether_events_arrive(
    monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    async with recording_agent() as agent:
        monkeypatch.setenv("SCOORD_AGENT_PORT", str(agent.port))
        result = await asyncio.to_thread(call, "install", "--transport", transport)
        assert f"tested: events reach the agent on port {agent.port}" in result.output
        assert agent.events == ["health", "ConnectivityTest"]
        status = await asyncio.to_thread(call, "status")
        assert status.exit_code == 0


async def test_an_agent_that_does_not_take_the_token_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with recording_agent() as agent:
        agent.status = 401
        assert not await asyncio.to_thread(agent_answers, agent.port, "wrong")


def test_scripts_get_the_same_in_json(home: Path) -> None:
    assert answered(call("install", "--json")) == {
        "settings": f"{home}/.claude/settings.json",
        "changed": True,
        "backup": None,
        "notes": [],
        "agent": False,
        "shim": False,
    }
    assert answered(call("uninstall", "--json"))["changed"] is True
    assert answered(call("uninstall", "--json"))["changed"] is False


def test_the_status_is_that_nothing_is_installed() -> None:
    result = call("status")
    assert result.exit_code == 1
    assert result.output.count("not installed") == 8


def test_the_status_is_that_the_agent_is_missing() -> None:
    call("install")
    result = call("status")
    assert result.exit_code == 3
    assert "agent: no answer on port 9, so nothing is guarded now" in result.output
    assert " ok\n" not in result.output, "what is installed is no more than that"
    assert problems() == {}


def test_the_status_names_a_port_that_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    call("install")
    monkeypatch.setenv("SCOORD_AGENT_PORT", "10")
    assert problems()["Stop"] == (
        "another port than the agent's 10; run `scoord hooks install` again"
    )
    assert call("status").exit_code == 1


def test_the_status_names_a_token_that_has_changed(home: Path) -> None:
    call("install")
    (home / ".local/state/scoord/token").write_text("another\n")
    assert problems()["Stop"] == (
        "another token than the agent's; run `scoord hooks install` again"
    )


def test_the_status_names_a_shim_that_is_missing_or_changed() -> None:
    call("install", "--transport", "command")
    shim_path().write_text("exit 0\n")
    assert "is of another version" in problems()["PreToolUse"]
    shim_path().unlink()
    assert "is missing" in problems()["PreToolUse"]


def edit(
    home: Path, event: str, change: Callable[[dict[str, Any], dict[str, Any]], object]
) -> None:
    """Change the group and the handler of an event, as a person would."""
    file = home / ".claude/settings.json"
    settings = json.loads(file.read_text())
    (group,) = settings["hooks"][event]
    change(group, group["hooks"][0])
    file.write_text(json.dumps(settings))


@pytest.mark.parametrize("version", [(2, 1, 138), (2, 1, 330)])
def test_a_state_directory_may_have_any_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / 'it\'s "my" \\ state'))
    monkeypatch.setattr(claude_version, "installed", lambda: version)
    call("install", "--transport", "command")
    assert problems() == {}


def test_the_status_names_a_matcher_that_was_edited(home: Path) -> None:
    call("install")
    edit(home, "PreToolUse", lambda group, _: group.update(matcher="Edit"))
    assert problems() == {
        "PreToolUse": 'matcher is "Edit", should be "Edit|Write|MultiEdit|NotebookEdit";'
        " run `scoord hooks install` again"
    }
    assert call("status").exit_code == 1


def test_entries_from_before_task_lists_were_told_are_named_and_brought_up_to_date(
    home: Path,
) -> None:
    call("install")
    before = "Edit|Write|MultiEdit|NotebookEdit"
    edit(home, "PostToolUse", lambda group, _: group.update(matcher=before))
    assert problems() == {
        "PostToolUse": f'matcher is "{before}", should be "{before}|TodoWrite|TaskCreate|'
        'TaskUpdate|TaskList"; run `scoord hooks install` again'
    }
    call("install")
    assert problems() == {}
    settings = json.loads((home / ".claude/settings.json").read_text())
    assert len(settings["hooks"]["PostToolUse"]) == 1


def test_the_status_names_what_was_taken_out(home: Path) -> None:
    call("install", "--unreachable-action", "block", "--transport", "command")
    edit(home, "PreToolUse", lambda _, handler: handler.pop("onFailure"))
    again = "scoord hooks install --transport command --unreachable-action block"
    assert problems() == {
        "PreToolUse": f'onFailure is missing, should be "block"; run `{again}` again'
    }


def test_the_status_names_what_was_added_or_is_there_twice(home: Path) -> None:
    call("install")
    edit(home, "Stop", lambda _, handler: handler.update(extra=1))
    edit(home, "SubagentStop", lambda group, handler: group["hooks"].append(handler))
    assert problems() == {
        "Stop": "extra was added; run `scoord hooks install` again",
        "SubagentStop": "installed more than once; run `scoord hooks install` again",
    }


def test_what_other_people_added_beside_ours_is_no_difference(home: Path) -> None:
    call("install")
    theirs = {"type": "command", "command": "true"}
    edit(home, "Stop", lambda group, _: group["hooks"].append(theirs))
    assert problems() == {}


@pytest.mark.parametrize("version", [(2, 1, 138), (2, 1, 330)])
@pytest.mark.parametrize("transport", ["http", "command"])
@pytest.mark.parametrize("action", ["block", "warn", "proceed"])
def test_every_installation_is_complete_and_installing_again_mends_an_edited_one(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int],
    transport: str,
    action: str,
) -> None:
    monkeypatch.setattr(claude_version, "installed", lambda: version)
    options = ("--transport", transport, "--unreachable-action", action)
    call("install", *options)
    assert problems() == {}
    edit(home, "PreToolUse", lambda group, handler: (group.pop("matcher"), handler.pop("timeout")))
    assert list(problems()) == ["PreToolUse"]
    call("install", *options)
    assert problems() == {}


def test_the_status_says_that_hooks_are_switched_off(home: Path) -> None:
    call("install")
    file = home / ".claude/settings.json"
    file.write_text(file.read_text().replace("{", '{"disableAllHooks": true,', 1))
    assert "disableAllHooks" in problems()["PreToolUse"]


def test_settings_that_are_not_json_are_an_error_and_no_status(home: Path) -> None:
    (home / ".claude").mkdir()
    (home / ".claude/settings.json").write_text("{,}")
    assert isinstance(call("status").exception, InvalidConfig)


@pytest.mark.parametrize(
    "arguments",
    [("--client", "vim"), ("--scope", "world"), ("--transport", "pigeon"), ("--what",)],
)
def test_a_word_that_is_not_known_is_a_mistake_in_use(arguments: tuple[str, ...]) -> None:
    assert call("install", *arguments).exit_code == 2


def test_what_becomes_of_edits_can_be_set_by_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_UNREACHABLE_ACTION", "block")
    call("install")
    assert '"onFailure": "block"' in (home / ".claude/settings.json").read_text()


def test_a_folder_that_is_gone_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    refused = call("install", "--scope", "project").exception
    assert isinstance(refused, InvalidPath)
    assert str(refused) == "this directory is gone; change to one that exists"
    assert call("install").exit_code == 0, "a user's settings need no current directory"


def test_a_path_is_shown_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "[red]claude[/x]"))
    assert "[red]claude[/x]" in "".join(call("status").output.split())


def test_what_was_taken_out_is_not_taken_for_the_file() -> None:
    call("install")
    assert "settings.json: our hooks are taken out" in call("uninstall").output


def test_the_status_breaks_no_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = home / ("a" * 90) / ("b" * 90)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(deep))
    call("install")

    assert f"settings: {deep}/settings.json\n" in call("status").output


def test_a_status_of_what_is_not_there_says_what_to_run() -> None:
    assert call("status").output.endswith("run: scoord hooks install\n")
    call("install")
    assert "run: scoord" not in call("status").output


def set_unreachable_action(home: Path, action: str) -> None:
    settings = home / ".config/scoord/coordination.yaml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"session_coordination:\n  unreachable_action: {action}\n")


@pytest.mark.parametrize(
    ("before", "after", "does"),
    [
        ("warn", "block", "lets edits through when the agent is gone (warn)"),
        ("block", "warn", "blocks edits when the agent is gone (block)"),
    ],
)
def test_the_status_says_where_the_settings_say_otherwise_since_and_what_mends_it(
    home: Path, before: str, after: str, does: str
) -> None:
    set_unreachable_action(home, before)
    call("install", "--transport", "command")
    assert "warning" not in call("status").output

    set_unreachable_action(home, after)
    changed = call("status")
    assert f"warning: PreToolUse {does}; your settings say {after}\n" in changed.output
    assert changed.output.endswith("run: scoord hooks install --transport command\n")
    assert changed.exit_code == 3, "nothing is missing but the agent"

    call("install", "--transport", "command")
    assert "warning" not in call("status").output


def test_settings_that_do_not_load_keep_nobody_from_the_status(home: Path) -> None:
    call("install")
    set_unreachable_action(home, "perhaps")
    assert call("status").exit_code == 3
