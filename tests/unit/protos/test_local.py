import errno
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from scoord import local
from scoord.errors import InvalidConfig, InvalidPath, NotAllowed
from scoord.ids import MachineId
from support.missing import cannot_run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home directory of its own, with no variable pointing elsewhere."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "SCOORD_AGENT_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SCOORD_STATE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_follow_the_home(home: Path) -> None:
    assert local.state_dir() == home / ".local/state/scoord"
    assert local.config_dir() == home / ".config/scoord"


def test_directories_follow_xdg(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name))
    assert local.state_dir() == home / "STATE/scoord"
    assert local.config_dir() == home / "CONFIG/scoord"


def test_a_relative_xdg_directory_is_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert local.state_dir() == home / ".local/state/scoord"


def test_without_a_home_there_is_no_place_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fails)
    for place in (local.state_dir, local.config_dir):
        with pytest.raises(NotAllowed, match="this user has no home directory"):
            place()


def test_a_home_that_is_not_absolute_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "rel")
    monkeypatch.chdir(tmp_path)
    for place in (local.state_dir, local.config_dir):
        with pytest.raises(NotAllowed, match="HOME: 'rel' is not an absolute path"):
            place()
    assert not list(tmp_path.iterdir())


def test_the_state_directory_can_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / "mine"))
    assert local.state_dir() == home / "mine"


def test_the_state_directory_is_private() -> None:
    assert mode(local.state_dir()) == 0o700


def test_a_state_directory_open_to_others_is_refused(home: Path) -> None:
    local.state_dir().chmod(0o755)
    with pytest.raises(NotAllowed, match=f"chmod 700 {home}/.local/state/scoord"):
        local.token()


def test_a_state_directory_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    local.state_dir()
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(NotAllowed, match="belongs to another user"):
        local.state_dir()


def test_a_link_to_a_directory_of_another_user_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        theirs = home / "theirs"
        theirs.mkdir(mode=0o700)
        os.chown(theirs, 12345, 12345)
    else:
        theirs = Path("/")
    (home / "link").symlink_to(theirs)
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / "link"))
    with pytest.raises(NotAllowed, match="belongs to another user"):
        local.state_dir()


@pytest.mark.parametrize(("maker", "taken"), [(0, True), (12346, False)])
def test_of_links_that_others_made_to_our_directory_roots_is_taken(
    home: Path, monkeypatch: pytest.MonkeyPatch, maker: int, taken: bool
) -> None:
    """As systemd links to what it keeps for a service whose user it makes itself."""
    if os.geteuid() != 0:
        cannot_run("only root may give files away")
    ours, link = home / "ours", home / "link"
    ours.mkdir(mode=0o700)
    link.symlink_to(ours)
    os.chown(ours, 12345, 12345)
    os.lchown(link, maker, maker)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    monkeypatch.setenv("SCOORD_STATE_DIR", str(link))

    with nullcontext() if taken else pytest.raises(NotAllowed, match="belongs to another user"):
        assert link == local.state_dir()


def test_a_state_directory_that_cannot_be_made_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / "file" / "state"))
    with pytest.raises(NotAllowed, match=r"file/state: Not a directory.*SCOORD_STATE_DIR"):
        local.state_dir()


def test_what_is_made_once_stays() -> None:
    assert local.token() == local.token()
    assert local.machine_id() == local.machine_id()
    assert local.agent_port() == local.agent_port()
    assert len(local.token()) >= 43
    assert len(local.machine_id()) == 32


@pytest.mark.parametrize("name", ["token", "machine-id", "port", "hook.env"])
def test_what_is_made_is_private(name: str) -> None:
    local.machine_id()
    local.write_hook_env()
    assert mode(local.state_dir() / name) == 0o600


def test_many_first_callers_get_one_token() -> None:
    with ThreadPoolExecutor(16) as callers:
        assert len(set(callers.map(lambda _: local.token(), range(64)))) == 1
    assert sorted(p.name for p in local.state_dir().iterdir()) == ["token"]


def test_what_is_gone_is_put_back_and_what_was_made_anew_stays() -> None:
    token, port = local.token(), local.agent_port()
    (local.state_dir() / "token").unlink()
    local.put_back(token, MachineId("m1"), port + 1)

    assert (token, "m1", port) == (local.token(), local.machine_id(), local.agent_port())


def test_an_empty_token_file_is_not_a_token() -> None:
    (local.state_dir() / "token").write_text("\n")
    with pytest.raises(InvalidConfig, match="token is empty; remove it"):
        local.token()


def test_the_port_avoids_one_that_is_taken() -> None:
    free = local.agent_port()
    (local.state_dir() / "port").unlink()
    with socket.create_server(("127.0.0.1", free)):
        assert local.agent_port() != free


def test_users_whose_agents_are_down_get_ports_of_their_own() -> None:
    uids = (0, 501, 502, *range(1000, 1080))
    assert len({local._ports(uid)[0] for uid in uids}) == len(uids)
    assert {tuple(sorted(local._ports(uid))) for uid in uids} == {tuple(range(7790, 7890))}


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(local, "FIRST_PORT", taken.getsockname()[1])
        monkeypatch.setattr(local, "_PORTS_TRIED", 1)
        with pytest.raises(InvalidConfig, match="all taken; set SCOORD_AGENT_PORT"):
            local.agent_port()


def test_the_port_can_be_named_without_being_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_AGENT_PORT", "12345")
    assert local.agent_port() == 12345
    assert not (local.state_dir() / "port").exists()


@pytest.mark.parametrize("wrong", ["0", "65536", "http", "-1", "7790.5", "\u0667"])
def test_what_is_no_port_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOORD_AGENT_PORT", wrong)
    with pytest.raises(InvalidConfig, match=r"SCOORD_AGENT_PORT is .*, not a port"):
        local.agent_port()


def test_a_damaged_port_file_is_named() -> None:
    (local.state_dir() / "port").write_text("seven\n")
    with pytest.raises(InvalidConfig, match=r"scoord/port is 'seven', not a port"):
        local.agent_port()


def test_a_shell_reads_what_the_hooks_need(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/my python's/$(touch x)/python")
    script = f'. "{local.write_hook_env()}"; printf "%s|" "$SCOORD_PORT" "$SCOORD_TOKEN" '
    script += '"$SCOORD_PYTHON" "$SCOORD_STATE_DIR"'
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    expected = [str(local.agent_port()), local.token(), sys.executable, str(local.state_dir()), ""]
    assert run.stdout.split("|") == expected


def test_the_socket_is_in_the_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    assert local.socket_path().parent == local.state_dir()


def test_a_long_home_gets_a_short_private_socket_path(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / ("x" * 90)))
    first = local.socket_path()
    assert len(os.fsencode(first)) <= 100
    assert mode(first.parent) == 0o700
    monkeypatch.setenv("SCOORD_STATE_DIR", str(home / ("y" * 90)))
    assert local.socket_path() != first


def test_a_new_file_gets_the_mode_asked_for(home: Path) -> None:
    local.atomic_write(home / "a", b"new", mode=0o640)
    assert mode(home / "a") == 0o640


def test_an_existing_file_keeps_its_mode(home: Path) -> None:
    (home / "a").write_bytes(b"old")
    (home / "a").chmod(0o604)
    local.atomic_write(home / "a", b"new", mode=0o640)
    assert ((home / "a").read_bytes(), mode(home / "a")) == (b"new", 0o604)


def test_an_existing_file_keeps_its_owner(home: Path) -> None:
    if os.geteuid() != 0:
        cannot_run("only root may give files away")
    (home / "a").write_bytes(b"old")
    os.chown(home / "a", 12345, 23456)
    local.atomic_write(home / "a", b"new")
    assert ((home / "a").stat().st_uid, (home / "a").stat().st_gid) == (12345, 23456)


def test_a_symlink_stays_and_its_target_is_written(home: Path) -> None:
    (home / "dotfiles").mkdir()
    (home / "link").symlink_to("dotfiles/real")
    local.atomic_write(home / "link", b"new")
    assert (home / "link").is_symlink()
    assert (home / "dotfiles/real").read_bytes() == b"new"


def test_what_stops_it_at_the_last_moment_leaves_the_old_file(home: Path) -> None:
    (home / "a").write_bytes(b"old")

    def stop() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        local.atomic_write(home / "a", b"new", before_replace=stop)
    assert {p.name: p.read_bytes() for p in home.iterdir()} == {"a": b"old"}


STEPS = ("open", "fchmod", "write", "fsync", "replace", "fsync_directory")
DYING_WRITER = """
import os, signal, sys, tempfile
from pathlib import Path
from scoord import local

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

step = sys.argv[1]
if step == "open":
    tempfile.NamedTemporaryFile = die
elif step == "fchmod":
    os.fchmod = die
elif step == "write":
    def half(file, data):
        file.write(data[:1]); file.flush(); die()
    local._write_through = half
elif step == "fsync":
    os.fsync = die
elif step == "replace":
    Path.replace = die
else:
    local._sync_directory = die
local.atomic_write(Path(sys.argv[2]), b"new" * 1000)
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_writer_killed_at_any_step_leaves_the_old_file_or_the_new(home: Path, step: str) -> None:
    file = home / "settings.json"
    file.write_bytes(b"old")
    command = [sys.executable, "-c", DYING_WRITER, step, str(file)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    assert file.read_bytes() == (b"new" * 1000 if step == "fsync_directory" else b"old")


# -- what stays, and what a full disk says ------------------------------------------------


def test_a_port_that_was_named_once_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    local.agent_port()
    monkeypatch.setenv("SCOORD_AGENT_PORT", "7899")
    assert local.keep_agent_port() == 7899

    monkeypatch.delenv("SCOORD_AGENT_PORT")
    assert local.agent_port() == 7899
    assert "SCOORD_PORT=7899\n" in local.write_hook_env().read_text()


def test_a_port_that_is_named_but_not_kept_is_for_this_program_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = local.agent_port()
    monkeypatch.setenv("SCOORD_AGENT_PORT", "7899")
    assert local.agent_port() == 7899

    monkeypatch.delenv("SCOORD_AGENT_PORT")
    assert local.agent_port() == kept


@pytest.mark.parametrize(
    "write",
    [local.check_room, local.write_hook_env, local.keep_agent_port],
    ids=lambda f: f.__name__,
)
def test_a_full_disk_is_said_in_one_line(
    write: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOORD_AGENT_PORT", "7899")
    local.token()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotAllowed, match="No space left on device; make room there, or set"):
        write()
    assert not list(local.state_dir().glob(".*.tmp"))


def test_a_folder_whose_name_is_not_utf8_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "caf\udce9"
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    monkeypatch.chdir(odd)

    with pytest.raises(InvalidPath, match=r"caf\\udce9' is not UTF-8; rename it"):
        local.here()


def test_a_state_directory_is_the_same_one_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCOORD_STATE_DIR", "state")

    with pytest.raises(InvalidConfig, match="SCOORD_STATE_DIR: 'state' is not an absolute path"):
        local.state_dir()
    assert not (tmp_path / "state").exists()
