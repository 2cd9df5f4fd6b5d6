"""``python -m scoord_agent``: how the agent is started in the background."""

import sys

from scoord_agent.cli.app import run

if __name__ == "__main__":
    sys.exit(run(["agent", *sys.argv[1:]]))
