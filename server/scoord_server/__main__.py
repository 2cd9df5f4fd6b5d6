"""``python -m scoord_server``: how the coordinator is started in the background."""

import os
import sys

# gRPC reads it once, as it is loaded: what it would log comes as one line of ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from scoord.errors import ScoordError
from scoord.exits import exit_code
from scoord_server.main import server

if __name__ == "__main__":
    try:
        server()
    except ScoordError as error:
        for line in error.lines:
            sys.stderr.write(f"error: {line}\n")
        sys.exit(exit_code(error))
