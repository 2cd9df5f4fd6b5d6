from pathlib import Path

import pytest

from support import claude
from support.missing import cannot_run


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The real Claude Code; a missing one skips the test, but not in CI."""
    try:
        return claude.find_or_fetch()
    except claude.NoClaudeCode as why:
        cannot_run(str(why))
