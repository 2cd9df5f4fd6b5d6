"""What installing writes, and what it refuses, in a home directory of the test's own."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from scoord.errors import InvalidConfig, NotAllowed
from scoord.local import token
from scoord_agent.listener import ANSWER_WITHIN_S
from scoord_hooks import claude_version
from scoord_hooks.claude_wiring import EVENTS, Transport, UnreachableAction
from scoord_hooks.install import install, uninstall
from scoord_hooks.order import Order
from scoord_hooks.places import Scope, shim_path
from scoord_hooks.status import status
from support.claude_settings import FOREIGN, backups, handlers

pytestmark = pytest.mark.usefixtures("home")


def test_http_is_the_transport_of_all_events_but_those_that_start_an_agent(file: Path) -> None:
    install(Order())
    found = handlers(file)
    assert list(found) == list(EVENTS)
    assert {event: len(each) for event, each in found.items()} == dict.fromkeys(EVENTS, 1)
    commands = [event for event, (handler,) in found.items() if handler["type"] == "command"]
    assert commands == ["SessionStart", "UserPromptSubmit"]
    assert found["PreToolUse"][0] == {
        "type": "http",
        "url": "http://127.0.0.1:7790/v1/hooks/claude-code/PreToolUse",
        "headers": {"Authorization": "Bearer $SCOORD_TOKEN"},
        "allowedEnvVars": ["SCOORD_TOKEN"],
        "timeout": 2,
    }
    assert json.loads(file.read_text())["env"] == {"SCOORD_TOKEN": token()}


@pytest.mark.parametrize("transport", list(Transport))
def test_a_hook_is_given_up_after_it_may_answer_and_by_http_within_the_promised_time(
    file: Path, transport: Transport
) -> None:
    install(Order(transport=transport))
    waits = {(str(h["type"]), int(str(h["timeout"]))) for (h,) in handlers(file).values()}
    assert {seconds for kind, seconds in waits if kind == "http"} <= {2}
    assert {seconds for kind, seconds in waits if kind == "command"} == {3}
    assert ANSWER_WITHIN_S < 2


def test_only_edits_are_asked_about_and_only_of_task_lists_more_is_told(file: Path) -> None:
    install(Order())
    groups = json.loads(file.read_text())["hooks"]
    matchers = {event: groups[event][0].get("matcher") for event in EVENTS}
    edits = "Edit|Write|MultiEdit|NotebookEdit"
    told = f"{edits}|TodoWrite|TaskCreate|TaskUpdate|TaskList"
    assert matchers == {**dict.fromkeys(EVENTS), "PreToolUse": edits, "PostToolUse": told}


@pytest.mark.parametrize("event", EVENTS)
def test_the_command_transport_calls_the_shim_without_a_shell(file: Path, event: str) -> None:
    install(Order(transport=Transport.COMMAND))
    (handler,) = handlers(file)[event]
    assert handler["command"] == "/bin/bash"
    assert handler["args"] == ["-p", str(shim_path()), "claude-code", event, "warn"]
    assert "env" not in json.loads(file.read_text())


@pytest.mark.parametrize("version", [(2, 1, 138), None])
def test_a_cli_that_needs_a_shell_gets_a_quoted_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int] | None
) -> None:
    state = home / "it's my $(touch x) state"
    monkeypatch.setenv("SCOORD_STATE_DIR", str(state))
    monkeypatch.setattr(claude_version, "installed", lambda: version)
    install(Order(transport=Transport.COMMAND))
    (handler,) = handlers(home / ".claude" / "settings.json")["Stop"]
    assert "args" not in handler
    line = f"printf '%s|' {handler['command']}"
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    shim = str(state / "hooks" / "shim.sh")
    assert run.stdout.split("|")[:-1] == ["/bin/bash", "-p", shim, "claude-code", "Stop", "warn"]


@pytest.mark.parametrize(
    ("version", "is_known"), [((2, 1, 77), False), (None, False), ((2, 1, 78), True)]
)
def test_an_event_that_a_cli_does_not_know_is_not_written_and_not_missed(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, int, int] | None,
    *,
    is_known: bool,
) -> None:
    monkeypatch.setattr(claude_version, "installed", lambda: version)
    install(Order())

    assert is_known == ("StopFailure" in handlers(file))
    seen = status(Scope.USER)
    assert seen.complete
    assert list(handlers(file)) == [each.event for each in seen.events]


def test_one_that_an_older_coordinator_did_not_write_is_missed(file: Path) -> None:
    install(Order())
    written = json.loads(file.read_text())
    del written["hooks"]["StopFailure"]
    file.write_text(json.dumps(written))

    (missing,) = (each for each in status(Scope.USER).events if each.problem)
    assert ("StopFailure", "not installed") == (missing.event, missing.problem)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("action", list(UnreachableAction))
def test_only_edits_are_blocked_when_a_hook_fails_and_only_if_so_wished(
    file: Path, transport: Transport, action: UnreachableAction
) -> None:
    install(Order(transport=transport, unreachable=action))
    blocked = [event for event, (each,) in handlers(file).items() if "onFailure" in each]
    assert blocked == (["PreToolUse"] if action is UnreachableAction.BLOCK else [])


def test_the_shim_is_copied_to_a_place_that_stays(file: Path) -> None:
    install(Order())
    assert shim_path().read_bytes().startswith(b"#!/usr/bin/env bash\n")
    assert stat.S_IMODE(shim_path().stat().st_mode) == 0o755
    assert str(shim_path()) in str(handlers(file)["SessionStart"])


def test_a_damaged_shim_is_replaced() -> None:
    install(Order())
    shim_path().write_text("damaged")
    shim_path().chmod(0o644)
    install(Order())
    assert shim_path().read_text() != "damaged"
    assert stat.S_IMODE(shim_path().stat().st_mode) == 0o755


def test_foreign_entries_stay_before_ours(file: Path) -> None:
    file.write_text(json.dumps(FOREIGN, indent=2))
    install(Order())
    now = json.loads(file.read_text())
    before = FOREIGN["hooks"]
    assert isinstance(before, dict)
    assert list(now) == list(FOREIGN)
    assert now["hooks"]["PreToolUse"][:2] == before["PreToolUse"]
    assert len(now["hooks"]["PreToolUse"]) == 3
    assert now["hooks"]["Notification"] == before["Notification"]
    assert now["permissions"] == FOREIGN["permissions"]
    assert now["env"] == {"EDITOR": "vi", "SCOORD_TOKEN": token()}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{\n  "a": 1,\n}', "settings.json:3:1: not valid JSON"),
        (b'{"a": "\xff"}', "settings.json: not UTF-8 (byte 7)"),
        (b"[]", "must hold one JSON object"),
        (b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}", "settings.json: nested too deeply"),
        (b'{"a": ' + b"[" * 99_999 + b"]" * 99_999 + b"}", "settings.json: nested too deeply"),
        (b'{"hooks": []}', '"hooks" must be an object'),
        (b'{"hooks": {"Stop": {}}}', '"hooks.Stop" must be an array'),
        (b'{"env": "x"}', '"env" must be an object'),
    ],
)
def test_settings_that_cannot_be_read_are_left_alone(
    file: Path, content: bytes, complaint: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidConfig) as refused:
        install(Order(force=True))
    assert refused.value.message.startswith(str(file))
    assert complaint in refused.value.message
    assert file.read_bytes() == content
    assert backups(file) == []


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"env": {"SCOORD_TOKEN": "another"}}, '"env" already has another SCOORD_TOKEN'),
        ({"disableAllHooks": True}, '"disableAllHooks" is true'),
        ({"allowedHttpHookUrls": ["https://a.example/*"]}, "use --transport command"),
        ({"httpHookAllowedEnvVars": ["OTHER"]}, "does not allow SCOORD_TOKEN"),
    ],
)
def test_settings_that_would_make_the_hooks_useless_are_refused(
    file: Path, values: dict[str, object], complaint: str
) -> None:
    original = json.dumps(values)
    file.write_text(original)
    with pytest.raises(NotAllowed) as refused:
        install(Order())
    assert refused.value.message.startswith(f"{file}: ")
    assert complaint in refused.value.message
    assert "\n" not in refused.value.message
    assert file.read_text() == original
    assert install(Order(force=True)).changed
    uninstall(Order())
    assert file.read_text() == original


@pytest.mark.parametrize(
    "values",
    [
        {"allowedHttpHookUrls": ["http://127.0.0.1:*"], "httpHookAllowedEnvVars": ["SCOORD_TOKEN"]},
        {"disableAllHooks": False},
        {"allowedHttpHookUrls": "odd"},
    ],
)
def test_settings_that_let_our_hooks_through_are_no_obstacle(
    file: Path, values: dict[str, object]
) -> None:
    file.write_text(json.dumps(values))
    assert install(Order()).changed


def test_gates_are_no_obstacle_to_commands(file: Path) -> None:
    file.write_text('{"allowedHttpHookUrls": [], "httpHookAllowedEnvVars": []}')
    assert install(Order(transport=Transport.COMMAND)).changed


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
def test_hooks_that_would_leave_the_machine_through_a_proxy_are_refused(
    file: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://me:s3cret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost,.example.com")
    with pytest.raises(NotAllowed) as refused:
        install(Order())
    assert "through the proxy proxy.example:3128; add 127.0.0.1 to NO_PROXY" in str(refused.value)
    assert not file.exists()
    assert install(Order(transport=Transport.COMMAND)).changed


@pytest.mark.parametrize("direct", ["127.0.0.1", "*", "a.example, 127.0.0.1:7790"])
def test_a_proxy_that_loopback_goes_past_is_no_obstacle(
    file: Path, direct: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    file.write_text(json.dumps({"env": {"NO_PROXY": direct}}))
    assert install(Order()).changed


def test_a_cli_without_http_hooks_is_refused_them(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_version, "installed", lambda: (2, 1, 62))
    with pytest.raises(NotAllowed, match=r"2\.1\.62 is older than 2\.1\.63.*--transport command"):
        install(Order())
    assert not file.exists()
    assert install(Order(transport=Transport.COMMAND)).changed


def test_a_cli_that_ignores_a_wish_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude_version, "installed", lambda: (2, 1, 294))
    (note,) = install(Order(unreachable=UnreachableAction.BLOCK)).notes
    assert "2.1.294 is older than 2.1.295" in note


@pytest.mark.parametrize(
    ("said", "version"),
    [("2.1.330 (Claude Code)", (2, 1, 330)), ("10.0.1", (10, 0, 1)), ("no idea", None)],
)
def test_the_version_is_what_the_cli_says(
    home: Path, said: str, version: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    program = home / "claude"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    assert claude_version.installed() == version


def test_no_cli_has_no_version(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(home))
    assert claude_version.installed() is None


def test_the_directory_of_the_settings_can_be_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "elsewhere"))
    assert install(Order()).settings == home / "elsewhere" / "settings.json"


def git(directory: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", "-C", directory, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout


@pytest.fixture
def checkout(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = home / "project"
    (root / "src").mkdir(parents=True)
    git(root, "init", "-q")
    monkeypatch.chdir(root / "src")
    return root


PROJECT = Order(scope=Scope.PROJECT)


def test_a_project_gets_its_own_settings_and_git_does_not_see_them(checkout: Path) -> None:
    (checkout / ".git/info/exclude").write_text("*.o")
    done = install(PROJECT)
    assert done.settings == checkout / ".claude/settings.local.json"
    assert git(checkout, "status", "--porcelain", "--untracked-files=all") == ""
    assert (checkout / ".git/info/exclude").read_text() == "*.o\n/.claude/settings.local.json*\n"
    assert any("git now ignores" in note for note in done.notes)


def test_uninstalling_leaves_nothing_of_ours_in_a_checkout(checkout: Path) -> None:
    exclude = checkout / ".git/info/exclude"
    exclude.write_text("*.o\n")
    install(PROJECT)
    done = uninstall(PROJECT)
    assert exclude.read_text() == "*.o\n"
    assert not (checkout / ".claude").exists()
    assert any("git does not ignore" in note for note in done.notes)


def test_uninstalling_leaves_what_is_not_ours_in_a_checkout(checkout: Path) -> None:
    exclude, claude = checkout / ".git/info/exclude", checkout / ".claude"
    claude.mkdir()
    (claude / "agents.md").write_text("")
    exclude.write_text("/.claude/settings.local.json\n")
    install(PROJECT)
    uninstall(PROJECT)
    assert "/.claude/settings.local.json\n" in exclude.read_text()
    assert [each.name for each in claude.iterdir()] == ["agents.md"]


def test_another_worktrees_token_stays_ignored(
    checkout: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    git(checkout, *author, "commit", "-q", "--allow-empty", "-m", "first")
    git(checkout, "worktree", "add", "-q", str(home / "other"))
    install(PROJECT)
    monkeypatch.chdir(home / "other")
    install(PROJECT)
    uninstall(PROJECT)
    assert git(checkout, "status", "--porcelain", "--untracked-files=all") == ""
    monkeypatch.chdir(checkout)
    uninstall(PROJECT)
    assert "settings.local.json" not in (checkout / ".git/info/exclude").read_text()


def test_a_project_is_the_one_around_us_where_git_is_pointed_at_another(
    home: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = home / "other"
    git(home, "init", "-q", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    install(PROJECT)

    assert "settings.local.json" in (checkout / ".git/info/exclude").read_text()
    assert "settings.local.json" not in (other / ".git/info/exclude").read_text()
    assert (checkout / ".claude/settings.local.json").exists()


def test_what_git_ignores_already_is_not_excluded_again(checkout: Path) -> None:
    (checkout / ".gitignore").write_text(".claude/\n")
    before = (checkout / ".git/info/exclude").read_text()
    assert not any("git" in note for note in install(PROJECT).notes)
    assert (checkout / ".git/info/exclude").read_text() == before


@pytest.mark.parametrize("where", ["folder", "file"])
def test_settings_that_a_link_leads_to_are_kept_out_of_git_once(checkout: Path, where: str) -> None:
    (checkout / "ours").mkdir()
    if where == "folder":
        (checkout / ".claude").symlink_to("ours")
    else:
        (checkout / ".claude").mkdir()
        (checkout / ".claude/settings.local.json").symlink_to("../ours/settings.local.json")
    before = (checkout / ".git/info/exclude").read_text()
    install(PROJECT)
    now = (checkout / ".git/info/exclude").read_text()
    assert "/ours/settings.local.json*\n" in now
    shown = git(checkout, "status", "--porcelain", "--untracked-files=all")
    assert "settings.local.json" not in shown

    install(Order(scope=Scope.PROJECT, unreachable=UnreachableAction.BLOCK))
    assert (checkout / ".git/info/exclude").read_text() == now
    uninstall(PROJECT)
    assert (checkout / ".git/info/exclude").read_text() == before


@pytest.mark.parametrize("name", ["a[b]c", "a*b", "a?", "a\\b", "#a", "!a", "a ", "a\r\nb"])
def test_settings_are_kept_out_of_git_whatever_their_name(checkout: Path, name: str) -> None:
    (checkout / ".claude").mkdir()
    (checkout / "ab").write_text("")
    (checkout / ".claude/settings.local.json").symlink_to(f"../{name}")
    before = (checkout / ".git/info/exclude").read_bytes()
    install(PROJECT)
    install(Order(scope=Scope.PROJECT, unreachable=UnreachableAction.BLOCK))
    assert git(checkout, "status", "--porcelain", "--untracked-files=all") == "?? ab\n"

    uninstall(PROJECT)
    assert (checkout / ".git/info/exclude").read_bytes() == before


def test_what_a_repository_lets_in_all_the_same_is_excluded_once(checkout: Path) -> None:
    (checkout / ".gitignore").write_text("!/.claude/settings.local.json\n")
    for _ in range(2):
        install(PROJECT)
    assert (checkout / ".git/info/exclude").read_text().count("settings.local.json") == 1


def test_a_linked_worktree_is_excluded_in_the_common_directory(
    checkout: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    git(checkout, *author, "commit", "-q", "--allow-empty", "-m", "first")
    git(checkout, "worktree", "add", "-q", str(home / "other"))
    monkeypatch.chdir(home / "other")
    assert install(PROJECT).settings == home / "other/.claude/settings.local.json"
    assert git(home / "other", "status", "--porcelain", "--untracked-files=all") == ""
    assert "settings.local.json" in (checkout / ".git/info/exclude").read_text()


def test_a_token_is_not_written_into_a_file_that_git_tracks(checkout: Path) -> None:
    tracked = checkout / ".claude/settings.local.json"
    tracked.parent.mkdir()
    tracked.write_text("{}")
    git(checkout, "add", "-f", ".claude/settings.local.json")
    with pytest.raises(NotAllowed, match="the agent's token would be committed"):
        install(PROJECT)
    assert tracked.read_text() == "{}"
    assert install(Order(scope=Scope.PROJECT, transport=Transport.COMMAND)).changed


def test_of_a_users_own_settings_that_a_repository_tracks_it_is_said(
    home: Path, file: Path
) -> None:
    kept = home / "dotfiles" / "claude.json"
    kept.parent.mkdir()
    kept.write_text("{}")
    kept.chmod(0o600)
    git(kept.parent, "init", "-q")
    file.symlink_to(kept)
    assert install(Order()).notes == ()

    git(kept.parent, "add", "claude.json")
    (note,) = install(Order()).notes
    said = f"git tracks {kept}, so the agent's token would be committed; run git rm --cached on it"
    assert note == f"{said}, or use --transport command"
    assert install(Order(transport=Transport.COMMAND)).notes == ()


def test_nor_into_one_of_which_git_does_not_say_whether_it_tracks_it(checkout: Path) -> None:
    settings = checkout / ".claude/settings.local.json"
    settings.parent.mkdir()
    (checkout / ".git/index").write_bytes(b"no index")
    with pytest.raises(NotAllowed, match="git does not say whether it tracks"):
        install(PROJECT)
    assert not settings.exists()


def test_outside_a_repository_a_project_is_the_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "loose").mkdir()
    monkeypatch.chdir(home / "loose")
    assert install(PROJECT).settings == home / "loose/.claude/settings.local.json"


def test_hooks_that_the_users_own_settings_switch_off_are_noticed(
    checkout: Path, file: Path
) -> None:
    file.write_text('{"disableAllHooks": true}')
    with pytest.raises(NotAllowed, match="disableAllHooks"):
        install(PROJECT)


def test_a_folder_that_was_made_for_the_settings_goes_with_them(home: Path) -> None:
    (home / ".claude").rmdir()
    install(Order())
    uninstall(Order())

    assert not (home / ".claude").exists()


def test_a_folder_that_was_there_or_is_in_use_stays(home: Path) -> None:
    install(Order())
    uninstall(Order())
    assert (home / ".claude").exists()

    (home / ".claude").rmdir()
    install(Order())
    (home / ".claude" / "history.jsonl").touch()
    uninstall(Order())
    assert (home / ".claude" / "history.jsonl").exists()
