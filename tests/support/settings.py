"""Folders of settings to test with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from scoord.config import Settings, load
from scoord.errors import InvalidConfig


class Place:
    """A repository's folder and a user's folder of settings."""

    def __init__(self, root: Path) -> None:
        self.repository, self.user = root / "repository", root / "user"
        self.repository.mkdir()
        self.user.mkdir()

    def load(self, environ: Mapping[str, str] | None = None) -> Settings:
        return load(self.repository, self.user, environ or {})

    def refusal(self, environ: Mapping[str, str] | None = None) -> str:
        """Return the lines that these settings are refused with."""
        with pytest.raises(InvalidConfig) as caught:
            self.load(environ)
        assert all(line.isprintable() for line in caught.value.message.split("\n"))
        return caught.value.message

    def file(self, text: str | bytes, *, user: bool = False, patterns: bool = False) -> Path:
        name = "file-patterns.yaml" if patterns else "coordination.yaml"
        path = (self.user if user else self.repository) / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path
