"""What becomes of the plugin's folder, and of what others have in it."""

import shutil
from pathlib import Path

import pytest

from scoord_hooks import plugin_folder
from scoord_hooks.plugin_folder import Became, packaged, put, take

LIST = ".put-by-scoord.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The plugin's folder as this version puts it."""
    folder = tmp_path / "skills" / "sc"
    put(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """What lies there, but for the list of what we put."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != LIST)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def put_by_an_earlier_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {**packaged(), "README.md": b"of before", "skills/session-old/SKILL.md": b"old"}
    with monkeypatch.context() as earlier:
        earlier.setattr(plugin_folder, "packaged", lambda: before)
        put(folder)
    assert content(folder) == before


def test_what_others_put_into_the_plugin_stays_there_over_every_install(folder: Path) -> None:
    mine = folder / "skills" / "my-own" / "SKILL.md"
    mine.parent.mkdir()
    mine.write_text("mine")
    link = folder / "skills" / "linked"
    link.symlink_to("/nowhere")
    assert put(folder) == Became(changed=False)
    (folder / "bin" / "scoord").unlink()

    assert put(folder) == Became(changed=True)

    assert content(folder) == {**packaged(), "skills/my-own/SKILL.md": b"mine"}
    assert link.is_symlink()


def test_what_an_earlier_version_put_and_nobody_edited_goes_without_a_word(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_by_an_earlier_version(folder, monkeypatch)

    assert put(folder) == Became(changed=True)

    assert content(folder) == packaged()


def test_what_an_earlier_version_put_is_known_where_the_folder_was_moved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put_by_an_earlier_version(folder, monkeypatch)
    moved = tmp_path / "moved" / "sc"
    shutil.move(folder, moved)

    assert take(moved) == Became(changed=True)

    assert not moved.parent.exists()


@pytest.mark.parametrize("listed", ["", "{", "[]", '{"README.md": 1}'])
def test_where_it_is_not_known_how_the_plugin_was_put_nothing_that_differs_is_lost(
    listed: str, folder: Path
) -> None:
    (folder / "README.md").write_text("mine")
    (folder / LIST).write_text(listed)

    told = take(folder).notes

    (kept,) = folder.iterdir()
    assert kept.read_text() == "mine"
    assert f"{folder}/README.md was edited: as it was, it is {kept}" in told
