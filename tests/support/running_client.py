"""A program that starts the commands which stdin says, as a coding CLI's shell tool does.

Each line in is ``{"arguments", "cwd", "files"}``; the command's output goes to
``files.out`` and ``files.err``, its process id to ``files.pid``, and how it ended to ``files.rc``.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path


def run(arguments: list[str], cwd: str, files: str) -> None:
    """Run one command to its end."""
    with open(f"{files}.out", "wb") as out, open(f"{files}.err", "wb") as err:  # noqa: PTH123
        process = subprocess.Popen(
            arguments, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
    Path(f"{files}.pid").write_text(str(process.pid), encoding="ascii")
    ended = Path(f"{files}.rc.new")
    ended.write_text(str(process.wait()), encoding="ascii")
    ended.rename(f"{files}.rc")


if __name__ == "__main__":
    for line in sys.stdin:
        threading.Thread(target=run, kwargs=json.loads(line), daemon=True).start()
