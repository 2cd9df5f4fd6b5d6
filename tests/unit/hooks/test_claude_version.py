"""The version of a Claude Code that runs, by where its program lies."""

import json
from pathlib import Path

from scoord_hooks.adapters import running_version


def _package(tmp_path: Path, content: str) -> Path:
    folder = tmp_path / "node_modules/@anthropic-ai/claude-code"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(content)
    return folder


def test_its_own_installers_folder_names_the_version() -> None:
    command = ["/home/a/.local/share/claude/versions/2.1.330", "claude"]

    assert "2.1.330" == running_version("claude-code", command)


def test_the_npm_package_names_the_version(tmp_path: Path) -> None:
    folder = _package(tmp_path, json.dumps({"version": "2.1.88"}))

    assert "2.1.88" == running_version("claude-code", ["/usr/bin/node", str(folder / "cli.js")])


def test_what_tells_no_version_is_not_guessed(tmp_path: Path) -> None:
    folder = _package(tmp_path, "{")

    assert "" == running_version("claude-code", [str(folder / "cli.js")])
    assert "" == running_version("claude-code", ["/usr/bin/sleep", "sleep", "600"])
    assert "" == running_version("claude-code", [])
    assert "" == running_version("another", ["/x/versions/2.1.330"])
