"""Settings or plugin: one of them carries our hooks, never both."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scoord.errors import NotAllowed
from scoord_hooks import claude_version, installed, plugin_folder, settings_file
from scoord_hooks.claude_wiring import EVENTS
from scoord_hooks.command import hooks
from scoord_hooks.in_force import in_force
from scoord_hooks.order import Order, Way
from scoord_hooks.places import shim_path
from scoord_hooks.plugin_folder import State, packaged
from scoord_hooks.plugin_wiring import FOLDER_ID, ID
from support.claude_settings import FOREIGN, backups, handlers, mode

pytestmark = pytest.mark.usefixtures("home")

LIST = ".put-by-scoord.json"


@pytest.fixture
def folder(home: Path) -> Path:
    return home / ".claude" / "skills" / "sc"


@pytest.fixture
def checkout(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    checkout = home / "checkout"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    monkeypatch.chdir(checkout)
    return checkout


def call(*arguments: str) -> Result:
    return CliRunner().invoke(hooks, arguments)


def done(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.exception or result.output
    return result.output


def refused(*arguments: str) -> str:
    failure = call(*arguments).exception
    assert isinstance(failure, NotAllowed), failure
    return failure.message


def status(*arguments: str) -> dict[str, object]:
    answer = json.loads(call("status", "--json", *arguments).output)
    assert isinstance(answer, dict)
    return answer


def content(folder: Path) -> dict[str, bytes]:
    """What lies there, but for the list of what we put."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != LIST)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def files(folder: Path) -> list[str]:
    """All that lies there but git's own."""
    found = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return [name.as_posix() for name in found if name.parts[0] != ".git"]


def test_the_plugin_is_a_folder_beside_the_settings_and_the_settings_stay_as_they_are(
    file: Path, folder: Path
) -> None:
    file.write_text(json.dumps(FOREIGN))
    said = done("install", "--as", "plugin")
    assert f"{folder}: installed" in said
    assert content(folder) == packaged()
    assert mode(folder / "bin" / "scoord") == mode(folder / "hooks" / "shim.sh") == 0o755
    assert json.loads(file.read_text()) == FOREIGN
    assert shim_path().exists()
    assert "already installed, nothing to do" in done("install", "--as", "plugin")
    assert list(folder.parent.iterdir()) == [folder]


def test_uninstalling_the_plugin_leaves_nothing(home: Path, folder: Path) -> None:
    done("install", "--as", "plugin")
    assert done("uninstall") == f"{folder}: our hooks are taken out\n"
    assert list((home / ".claude").iterdir()) == []
    assert "no hooks of ours there" in done("uninstall")


def test_the_plugin_takes_the_place_of_the_settings_which_are_as_before(
    file: Path, folder: Path
) -> None:
    before = json.dumps(FOREIGN, indent=3)
    file.write_text(before)
    done("install")
    assert "our hooks are taken out" in done("install", "--as", "plugin")
    assert file.read_text() == before
    assert backups(file) == []
    assert in_force().ways == (f"plugin ({folder})",)


def test_the_settings_take_the_place_of_the_plugin(file: Path, folder: Path) -> None:
    done("install", "--as", "plugin")
    assert f"{folder} is taken out" in done("install")
    assert not folder.exists()
    assert "PreToolUse" in handlers(file)
    assert in_force().ways == (f"settings ({file})",)


def test_when_the_settings_cannot_be_cleaned_the_plugin_is_not_there_either(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done("install")
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise NotAllowed("cannot be written")

    monkeypatch.setattr(settings_file, "edit", fail)
    refused("install", "--as", "plugin")
    assert not folder.exists()
    assert file.read_bytes() == before


def test_what_is_outdated_or_damaged_is_told_and_mended(folder: Path) -> None:
    done("install", "--as", "plugin")
    (folder / "hooks" / "hooks.json").write_text("{}")
    assert plugin_folder.state(folder) is State.OUTDATED
    seen = status()
    assert seen["complete"] is False
    assert "is of another version; run `scoord hooks install --as plugin` again" in str(seen)
    told = done("install", "--as", "plugin")
    (edited,) = (folder / "hooks").glob("hooks.json.before-scoord-*")
    assert f"note: {folder}/hooks/hooks.json was edited: as it was, it is {edited}\n" in told
    assert edited.read_text() == "{}"
    edited.unlink()
    assert content(folder) == packaged()
    assert status()["complete"] is True


@pytest.mark.parametrize("out", [("uninstall",), ("install",)])
def test_what_others_put_into_the_plugin_stays_when_it_goes(
    out: tuple[str, ...], folder: Path
) -> None:
    done("install", "--as", "plugin")
    (folder / "mine.txt").write_text("mine")
    (folder / "README.md").write_text("my notes")

    told = done(*out)

    (edited,) = folder.glob("README.md.before-scoord-*")
    assert content(folder) == {"mine.txt": b"mine", edited.name: b"my notes"}
    assert f"note: {folder}/README.md was edited: as it was, it is {edited}\n" in told
    assert f"note: what is not ours stays in {folder}\n" in told
    assert in_force().folders == ()
    done("install", "--as", "plugin")
    assert packaged().items() <= content(folder).items()
    assert (folder / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("out", [("uninstall",), ("install",)])
def test_the_plugin_of_a_checkout_goes_whole_where_the_state_directory_is_gone(
    out: tuple[str, ...], home: Path, checkout: Path
) -> None:
    exclude = checkout / ".git" / "info" / "exclude"
    before = exclude.read_bytes()
    done("install", "--as", "plugin", "--scope", "project")
    shutil.rmtree(home / ".local")

    done(*out, "--scope", "project")

    assert b"skills" not in exclude.read_bytes()
    done("uninstall", "--scope", "project")
    assert (exclude.read_bytes(), files(checkout)) == (before, [])


@pytest.mark.parametrize("fails", [(settings_file, "edit"), (plugin_folder, "_swap")])
def test_what_fails_halfway_is_brought_to_its_end_by_the_same_command(
    fails: tuple[object, str], checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exclude = checkout / ".git" / "info" / "exclude"
    before = exclude.read_bytes()
    done("install", "--as", "plugin", "--scope", "project")

    def fail(*_: object) -> None:
        raise NotAllowed("cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(*fails, fail)
        refused("uninstall", "--scope", "project")
    done("uninstall", "--scope", "project")

    assert (exclude.read_bytes(), files(checkout)) == (before, [])


def test_a_folder_of_somebody_else_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("mine")
    assert "is not ours; move it away" in refused("install", "--as", "plugin")
    done("uninstall")
    done("install")
    assert content(folder) == {"SKILL.md": b"mine"}
    assert in_force().folders == ()


def test_a_link_to_the_plugin_of_a_checkout_is_removed_and_not_followed(
    tmp_path: Path, folder: Path
) -> None:
    checkout = tmp_path / "checkout"
    done("install", "--as", "plugin")
    shutil.move(folder, checkout)
    folder.symlink_to(checkout)
    assert "already installed" in done("install", "--as", "plugin")
    done("uninstall")
    assert not folder.is_symlink()
    assert content(checkout) == packaged()


def test_the_status_of_the_plugin_has_the_event_of_its_slash_commands() -> None:
    done("install", "--as", "plugin")
    events = status()["events"]
    assert isinstance(events, list)
    assert [each["event"] for each in events] == [*EVENTS, "UserPromptExpansion"]


def test_beside_the_plugin_of_a_marketplace_nothing_is_installed(file: Path) -> None:
    file.write_text(json.dumps({"enabledPlugins": {ID: True, "sc@another": True}}))
    for way in Way:
        assert f"{file} enables the plugin {ID}; run: claude plugin uninstall {ID}" in refused(
            "install", "--as", way.value
        )
    assert status()["complete"] is True
    told = done("install", "--force")
    assert f"note: {in_force().doubled}; {in_force().remedy}" in told.splitlines()
    seen = call("status").output
    assert "warning: events are sent twice: by settings (" in seen
    assert seen.endswith(f"\nrun: claude plugin uninstall {ID}, or: scoord hooks uninstall\n")
    assert call("status").exit_code == 1
    file.write_text(json.dumps({"enabledPlugins": {ID: False, "sc@another": True}}))
    assert in_force().ways == ()


def test_both_ways_in_two_scopes_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = home / "checkout"
    checkout.mkdir()
    subprocess.run(["git", "init", "-q", checkout], check=True)
    monkeypatch.chdir(checkout)
    done("install", "--scope", "project")
    assert "settings.local.json has our hooks; run: scoord hooks uninstall --scope project" in (
        refused("install", "--as", "plugin")
    )
    done("uninstall", "--scope", "project")
    done("install", "--as", "plugin")
    told = refused("install", "--scope", "project")
    assert told.startswith(f"{home}/.claude/skills/sc is the plugin; run: scoord hooks uninstall ")


@pytest.mark.parametrize("way", Way)
def test_what_is_wired_in_a_checkout_is_what_its_status_shows(
    way: Way, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = home / "checkout"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    monkeypatch.chdir(checkout)
    done("install", "--as", way.value, "--scope", "project")
    place = {Way.SETTINGS: "settings: {}/settings.local.json", Way.PLUGIN: "plugin: {}/skills/sc"}

    seen = call("status").output
    of_users = call("status", "--scope", "user").output

    assert seen.startswith(place[way].format(checkout / ".claude"))
    assert "not installed" not in seen
    assert "run: " not in seen
    assert of_users.count("not installed") == 8
    assert of_users.endswith("wired in this scope; see: scoord hooks status --scope project\n")


def test_of_two_scopes_one_is_to_be_taken_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = home / "checkout"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    monkeypatch.chdir(checkout)
    done("install", "--as", "plugin", "--scope", "project")

    told = done("install", "--force")
    seen = call("status").output

    assert "events are sent twice" in seen
    assert "note: events are sent twice: by settings (" in told
    one, other = "scoord hooks uninstall", "scoord hooks uninstall --scope project"
    assert seen.endswith(f"\nrun: {one}, or: {other}\n")
    assert f"; keep one of them; run: {one}, or: {other}\n" in told
    assert "sent twice" in done("install", "--force"), "as long as it is so"
    done("uninstall", "--scope", "project")
    assert "sent twice" not in done("install", "--force")


def test_settings_of_two_scopes_are_one_way_only_if_they_send_events_alike(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = home / "checkout"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    monkeypatch.chdir(checkout)
    done("install")
    assert "sent twice" not in done("install", "--scope", "project")

    told = done("install", "--scope", "project", "--transport", "command")

    files = home / ".claude/settings.json", checkout / ".claude/settings.local.json"
    twice = f"events are sent twice: by settings ({files[0]}) and by settings ({files[1]})"
    assert f"note: {twice}; keep one of them; run: scoord hooks uninstall, or: " in told
    assert (status()["complete"], status()["doubled"]) == (False, f"{twice}; keep one of them")
    done("uninstall")
    assert status()["complete"] is True


@pytest.mark.parametrize("way", Way)
def test_where_no_repository_is_no_project_is_wired(
    way: Way, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    told = refused("install", "--scope", "project", "--as", way.value)

    assert told == (
        f"{home} is in no repository; go to one, or wire all your sessions: --scope user"
        " (or --force); nothing was changed"
    )
    assert sorted(home.rglob("*")) == before


def test_a_checkouts_plugin_is_kept_out_of_git_as_long_as_it_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = home / "checkout"
    checkout.mkdir()
    subprocess.run(["git", "init", "-q", checkout], check=True)
    monkeypatch.chdir(checkout)
    exclude = checkout / ".git" / "info" / "exclude"
    before = exclude.read_bytes()
    done("install", "--as", "plugin", "--scope", "project")
    shown = subprocess.run(["git", "status", "--short"], capture_output=True, check=True)
    assert shown.stdout == b""
    done("uninstall", "--scope", "project")
    assert exclude.read_bytes() == before
    assert sorted(path.name for path in checkout.iterdir()) == [".git"]


def test_what_keeps_the_plugin_from_being_loaded_is_refused(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for settings, why in (
        ({"disableAllHooks": True}, '"disableAllHooks" is true'),
        ({"enabledPlugins": {FOLDER_ID: False}}, f'"enabledPlugins" turns {FOLDER_ID} off'),
    ):
        file.write_text(json.dumps(settings))
        assert why in refused("install", "--as", "plugin")
    file.unlink()
    monkeypatch.setattr(claude_version, "installed", lambda: (2, 1, 156))
    assert "does not load a plugin that lies beside its settings" in refused(
        "install", "--as", "plugin"
    )
    assert not folder.exists()
    assert not folder.parent.exists()


def test_what_a_plugin_cannot_do_is_a_mistake_in_use() -> None:
    for options in (("--transport", "http"), ("--unreachable-action", "block")):
        assert call("install", "--as", "plugin", *options).exit_code == 2


def test_the_plugin_does_what_the_users_settings_say_when_nobody_can_be_asked(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_UNREACHABLE_ACTION", "block")
    done("install", "--as", "plugin")
    run = subprocess.run(
        ["bash", home / ".claude/skills/sc/hooks/shim.sh", "claude-code", "PreToolUse"],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        input="{}",
        text=True,
        capture_output=True,
        check=True,
    )
    assert '"permissionDecision":"deny"' in run.stdout


def test_what_was_ordered_is_found_again() -> None:
    done("install", "--as", "plugin")
    (order,) = installed.orders()
    assert isinstance(order, Order)
    assert order.way is Way.PLUGIN
    assert installed.lacks((2, 1, 330)) == ()
    assert "does not load a plugin" in installed.lacks((2, 1, 100))[0]
