import os
from pathlib import Path

import pytest

from support import claude


@pytest.fixture(scope="session")
def claude_binary() -> Path:
    """The real Claude Code; a missing one skips the test, but not in CI."""
    try:
        return claude.find_or_fetch()
    except claude.NoClaudeCode as why:
        if os.environ.get("CI") == "true":
            pytest.fail(str(why))
        pytest.skip(str(why))
