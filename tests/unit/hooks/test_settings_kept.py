"""Other people's settings survive installing and uninstalling, whatever happens meanwhile."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoord.errors import Contended, InvalidConfig, NotAllowed
from scoord_hooks import claude_version, settings_file
from scoord_hooks.claude_settings import find
from scoord_hooks.claude_version import Version
from scoord_hooks.claude_wiring import EVENTS, Transport, UnreachableAction
from scoord_hooks.install import Done, install, uninstall
from scoord_hooks.json_text import Document
from scoord_hooks.order import Order
from scoord_hooks.places import Scope, shim_path
from scoord_hooks.status import status
from support.claude_settings import FOREIGN, NEWEST, backups, handlers, mode

pytestmark = pytest.mark.usefixtures("home")


TWO = json.dumps(FOREIGN, indent=2)
FORMS = {
    "no file": None,
    "empty file": b"",
    "only blanks": b" \n",
    "empty object": b"{}",
    "empty object on lines": b"{\n}\n",
    "empty hooks": b'{\n  "hooks": {},\n  "env": { }\n}\n',
    "two spaces": TWO.encode(),
    "final newline": TWO.encode() + b"\n",
    "four spaces": json.dumps(FOREIGN, indent=4).encode(),
    "tabs": json.dumps(FOREIGN, indent="\t").encode(),
    "one line": json.dumps(FOREIGN).encode(),
    "compact": json.dumps(FOREIGN, separators=(",", ":")).encode(),
    "CRLF": TWO.replace("\n", "\r\n").encode(),
    "BOM": b"\xef\xbb\xbf" + TWO.encode(),
    "unicode": '{"model": "Grüße 😀", "x": "\\u00fc"}'.encode(),
    "odd spaces": b'{ "a" :1.50 ,\n\t\t"hooks":{"Stop" : [ ]}\n , "b":[\n]}',
    "odd numbers": b'{"a": 1E400, "b": -0.0, "c": 10000000000000000000000000.10}',
    "repeated names": b'{"a": 1, "a": 2, "hooks": {}, "hooks": {}}',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("transport", list(Transport))
def test_uninstalling_brings_the_file_back_byte_for_byte(
    file: Path, form: str, transport: Transport
) -> None:
    original = FORMS[form]
    if original is not None:
        file.write_bytes(original)
    install(Order(transport=transport))
    assert len(handlers(file)["Stop"]) == 1
    uninstall(Order())
    assert (file.read_bytes() if file.exists() else None) == original
    assert backups(file) == []


@pytest.mark.parametrize("form", FORMS)
def test_installing_twice_writes_once(file: Path, form: str) -> None:
    original = FORMS[form]
    if original is not None:
        file.write_bytes(original)
    assert install(Order()).changed
    before = (file.read_bytes(), file.stat().st_ino, backups(file))
    assert install(Order()).changed is False
    assert (file.read_bytes(), file.stat().st_ino, backups(file)) == before


@pytest.mark.parametrize("form", ["CRLF", "BOM", "tabs", "four spaces", "unicode"])
def test_what_was_there_is_still_there_in_its_own_form(file: Path, form: str) -> None:
    original = FORMS[form]
    assert original is not None
    file.write_bytes(original)
    install(Order())
    kept = original.removesuffix(b"}").rstrip().removesuffix(b"}").rstrip()
    assert file.read_bytes().startswith(kept[:40])
    if form == "CRLF":
        assert file.read_bytes().count(b"\n") == file.read_bytes().count(b"\r\n")


@pytest.mark.parametrize("form", ["no file", "empty hooks", "two spaces", "CRLF"])
def test_installing_another_way_leaves_one_set_of_entries(
    file: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FORMS[form]
    if original is not None:
        file.write_bytes(original)
    install(Order())
    monkeypatch.setenv("SCOORD_AGENT_PORT", "7999")
    install(Order(unreachable=UnreachableAction.BLOCK))
    assert "7790" not in file.read_text()
    install(Order(transport=Transport.COMMAND))
    assert "7999" not in file.read_text()
    assert [len(each) for each in handlers(file).values() if each[-1].get("args")] == [
        3 if form in {"two spaces", "CRLF"} and event == "PreToolUse" else 1
        for event in handlers(file)
        if event != "Notification"
    ]
    uninstall(Order())
    assert (file.read_bytes() if file.exists() else None) == original


def test_what_others_change_meanwhile_stays_when_we_go(file: Path) -> None:
    file.write_text(TWO)
    install(Order())
    file.write_text(file.read_text().replace('"opus"', '"sonnet"'))
    uninstall(Order())
    assert file.read_text() == TWO.replace('"opus"', '"sonnet"')
    assert len(backups(file)) == 1


def test_a_number_with_more_digits_than_python_takes_stays(file: Path) -> None:
    original = '{"env": {"a": 9N}, "disableAllHooks": -9N}'.replace("N", "0" * 5_000)
    file.write_text(original)
    assert install(Order()).changed
    uninstall(Order())
    assert file.read_text() == original


def test_a_handler_that_someone_put_into_our_group_stays(file: Path) -> None:
    install(Order())
    now = json.loads(file.read_text())
    now["hooks"]["Stop"][0]["hooks"].insert(0, {"type": "command", "command": "mine"})
    file.write_text(json.dumps(now))
    uninstall(Order())
    assert json.loads(file.read_text()) == {
        "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "mine"}]}]}
    }


@pytest.mark.parametrize(
    "handler",
    [
        {"type": "http", "url": "http://example.com/v1/hooks/claude-code/Stop"},
        {"type": "http", "url": "http://127.0.0.1:7790/v1/hooks/other/Stop"},
        {"type": "http"},
        {"type": "http", "url": "http://[${HOST}]/v1/hooks/claude-code/Stop"},
        {"type": "http", "url": "http://127.0.0.1:${PORT}/v1/hooks/claude-code/Stop"},
        {"type": ["http"], "url": 3},
        {"command": "bash -p /opt/hooks/shim.sh claude-code Stop"},
        {"command": "bash -p /opt/hooks/shim.sh claude-code Odd warn"},
        {"type": "command", "command": ["a"], "args": {"b": 1}},
        {"type": "command", "command": "a", "args": [None, 1]},
        {"type": "command", "command": "/opt/hooks/shim.sh claude-code Stop"},
        {"type": "command", "command": "don't"},
        {"type": "prompt", "prompt": "/v1/hooks/claude-code/"},
        "text",
        None,
    ],
)
def test_what_only_looks_like_ours_is_left_alone(file: Path, handler: object) -> None:
    original = json.dumps({"hooks": {"Stop": [{"hooks": [handler]}, "x"], "Odd": 7}})
    file.write_text(original)
    assert uninstall(Order()).changed is False
    assert not status(Scope.USER).wired
    install(Order())
    assert status(Scope.USER).complete
    backups(file)[0].unlink()
    uninstall(Order())
    assert file.read_text() == original


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("version", [NEWEST, None], ids=["arguments", "line"])
def test_what_was_installed_from_another_state_directory_is_ours_too(
    home: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    transport: Transport,
    version: Version | None,
) -> None:
    file.write_text(TWO)
    monkeypatch.setattr(claude_version, "installed", lambda: version)
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / "another disk"))
    install(Order(transport=transport))
    monkeypatch.delenv("SCOORD_STATE_DIR")
    assert status(Scope.USER).wired

    install(Order(transport=transport))
    assert "another disk" not in file.read_text()
    assert status(Scope.USER).complete

    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / "a third"))
    uninstall(Order())
    assert file.read_text() == TWO


def test_a_command_of_ours_that_has_lost_its_type_goes_too(file: Path) -> None:
    handler = {"command": f"{shim_path()} claude-code Stop"}
    file.write_text(json.dumps({"hooks": {"Stop": [{"hooks": [handler]}]}}))
    assert status(Scope.USER).wired
    assert uninstall(Order()).changed


def test_uninstalling_what_is_not_installed_changes_nothing(file: Path) -> None:
    assert uninstall(Order()) == Done(file, changed=False)
    assert not file.exists()


def test_a_new_file_is_private(file: Path) -> None:
    install(Order())
    assert mode(file) == 0o600


def test_an_existing_file_that_gets_the_token_is_closed_to_others(file: Path) -> None:
    file.write_text(TWO)
    file.chmod(0o640)
    done = install(Order())
    assert done.backup is not None
    assert (mode(file), mode(done.backup)) == (0o600, 0o600)
    assert done.backup.read_text() == TWO
    note = f"{file} holds the agent's token: only you may read it now (it was 640)"
    assert done.notes == (note,)
    assert install(Order()).notes == ()

    file.chmod(0o644)
    assert install(Order()).notes == (note.replace("640", "644"),)
    assert mode(file) == 0o600


def test_a_file_is_open_again_once_the_token_is_out_of_it(file: Path) -> None:
    file.write_text(TWO)
    file.chmod(0o644)
    install(Order())
    uninstall(Order())
    assert (file.read_text(), mode(file)) == (TWO, 0o644)

    install(Order())
    install(Order(transport=Transport.COMMAND))
    assert mode(file) == 0o644


def test_a_mode_that_somebody_has_set_since_is_left(file: Path) -> None:
    file.write_text(TWO)
    file.chmod(0o644)
    install(Order())
    file.chmod(0o400)
    uninstall(Order())
    assert mode(file) == 0o400


def test_an_existing_file_without_the_token_keeps_its_mode(file: Path) -> None:
    file.write_text(TWO)
    file.chmod(0o644)
    install(Order(transport=Transport.COMMAND))
    assert mode(file) == 0o644


def test_a_file_that_we_have_written_is_not_kept_aside(file: Path) -> None:
    file.write_text(TWO)
    first = install(Order())
    file.write_text(file.read_text().replace("opus", "sonnet"))
    second = install(Order(transport=Transport.COMMAND))
    assert (backups(file), second.backup) == ([first.backup], None)


def test_a_backup_that_stays_is_named(file: Path) -> None:
    file.write_text(TWO)
    first = install(Order())
    file.write_text(file.read_text().replace("opus", "sonnet"))
    done = uninstall(Order())
    assert done.notes == (f"{first.backup} stays: the settings have changed since",)
    assert backups(file) == [first.backup]
    assert file.read_text() == TWO.replace("opus", "sonnet")


def test_a_link_to_nowhere_is_named_with_its_target(home: Path, file: Path) -> None:
    file.symlink_to(home / "gone" / "claude.json")
    said = rf"settings.json \(a link to {home}/gone/claude.json\): cannot be written"
    with pytest.raises(NotAllowed, match=said):
        install(Order())


def test_a_folder_in_the_files_place_is_named(file: Path) -> None:
    file.mkdir()
    said = "settings.json: cannot be read: Is a directory; see that it is a file"
    with pytest.raises(NotAllowed, match=said):
        install(Order())


def test_a_pipe_in_the_files_place_is_named_and_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    for use in (lambda: install(Order()), lambda: uninstall(Order()), lambda: status(Scope.USER)):
        with pytest.raises(NotAllowed, match="cannot be read: not a file; see that it is a file"):
            use()
    assert file.is_fifo()


def test_a_linked_file_stays_a_link(home: Path, file: Path) -> None:
    (home / "dotfiles").mkdir()
    target = home / "dotfiles" / "claude.json"
    target.write_text(TWO)
    file.symlink_to(target)
    install(Order())
    assert file.is_symlink()
    assert "SCOORD_TOKEN" in target.read_text()
    uninstall(Order())
    assert file.is_symlink()
    assert target.read_text() == TWO


def test_a_directory_that_cannot_be_written_is_named(file: Path) -> None:
    file.parent.chmod(0o500)
    if os.access(file.parent, os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(NotAllowed, match="cannot be written: Permission denied"):
        install(Order())


def test_a_full_disk_is_named_and_leaves_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(TWO)
    install(Order())
    uninstall(Order())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotAllowed, match="No space left on device; nothing was changed"):
        install(Order())
    assert file.read_text() == TWO
    assert backups(file) == []


def test_a_change_between_reading_and_writing_is_kept(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('{"n": 0}')
    expect: Callable[[settings_file.Snapshot], None] = settings_file._expect
    pending = [1, 2]

    def disturb(before: settings_file.Snapshot) -> None:
        if pending:
            file.write_text(json.dumps({"n": pending.pop(0)}))
        expect(before)

    monkeypatch.setattr(settings_file, "_expect", disturb)
    done = install(Order())
    assert json.loads(file.read_text())["n"] == 2
    assert done.backup is not None
    assert backups(file) == [done.backup]
    assert done.backup.read_text() == '{"n": 2}'


def test_a_file_that_never_stands_still_is_given_up(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disturb(before: settings_file.Snapshot) -> None:
        raise settings_file._ChangedMeanwhile

    monkeypatch.setattr(settings_file, "_expect", disturb)
    with pytest.raises(Contended, match="nothing was changed"):
        install(Order())
    assert not file.exists()


INSTALLER = """
import sys
from scoord_hooks import claude_version
from scoord_hooks.claude_settings import find
from scoord_hooks.claude_wiring import Transport
from scoord_hooks.install import install, uninstall
from scoord_hooks.order import Order
claude_version.installed = lambda: (2, 1, 330)
for _ in range(5):
    (install if sys.argv[1] != "uninstall" else uninstall)(
        Order(transport=Transport("http" if sys.argv[1] == "uninstall" else sys.argv[1]))
    )
"""


def test_many_installers_at_once_leave_one_whole_file(file: Path) -> None:
    file.write_text(TWO)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    works = ["http", "command", "uninstall"] * 3
    running = [
        subprocess.Popen([sys.executable, "-c", INSTALLER, work], env=environment) for work in works
    ]
    assert [process.wait() for process in running] == [0] * len(works)
    install(Order())
    assert all(len([h for h in each if h.get("timeout")]) <= 1 for each in handlers(file).values())
    uninstall(Order())
    assert file.read_text() == TWO


def test_a_killed_installer_leaves_a_file_that_is_whole(file: Path) -> None:
    file.write_text(TWO)
    die = "import os, signal\nfrom pathlib import Path\n"
    die += "Path.replace = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", die + INSTALLER, "http"]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert file.read_text() == TWO
    install(Order())
    uninstall(Order())
    assert file.read_text() == TWO


NAMES = st.sampled_from(["hooks", "env", "model", "ü", "PreToolUse", "Stop", 'a"b', "SCOORD_TOKEN"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\{}[],:\nü', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
GROUPS = st.lists(st.fixed_dictionaries({"hooks": st.lists(st.fixed_dictionaries({"type": JSON}))}))
SETTINGS = st.dictionaries(NAMES, JSON, max_size=4) | st.fixed_dictionaries(
    {"hooks": st.dictionaries(NAMES, GROUPS, max_size=3), "env": st.dictionaries(NAMES, st.text())}
)
WRITTEN = st.builds(
    lambda values, indent, ascii_only, newline: (
        json.dumps(values, indent=indent, ensure_ascii=ascii_only).replace("\n", newline).encode()
    ),
    SETTINGS,
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)


# No deadline: a flush takes as long as a busy disk takes.
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(WRITTEN, st.sampled_from(list(Transport)))
def test_any_settings_come_back_byte_for_byte(
    file: Path, original: bytes, transport: Transport
) -> None:
    file.write_bytes(original)
    for old in backups(file):
        old.unlink()
    try:
        install(Order(transport=transport, force=True))
    except InvalidConfig:
        assert file.read_bytes() == original
        return
    assert len(find(Document(file.read_text()), str(shim_path()))) == len(EVENTS)
    uninstall(Order())
    assert file.read_bytes() == original
