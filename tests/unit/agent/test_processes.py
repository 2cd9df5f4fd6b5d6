"""What is seen of the process behind a session."""

import os
import subprocess
import sys

import pytest

from scoord_agent import processes


def test_the_terminal_of_a_process_is_named_as_people_know_it() -> None:
    controller, terminal = os.openpty()
    name = os.ttyname(terminal).removeprefix("/dev/")
    # Its own session leader takes the first terminal that it opens for its own.
    code = f"import os, time; os.setsid(); os.open('/dev/{name}', os.O_RDWR); print(1, flush=True)"
    command = [sys.executable, "-c", f"{code}; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            found = processes.tty_of(process.pid)
        finally:
            process.kill()
            os.close(controller)
            os.close(terminal)

    if sys.platform == "linux" and not name.startswith("pts/"):
        pytest.skip("this system names its terminals otherwise")
    assert name == found


def test_a_process_that_is_gone_has_no_terminal_and_no_command() -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert "" == processes.tty_of(process.pid)
    assert [] == processes.command_of(process.pid)


def test_a_command_is_the_executable_and_its_arguments() -> None:
    code = "print(1, flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it runs by now
        found = processes.command_of(process.pid)
        process.kill()

    assert command == found[1:]
    assert os.path.realpath(sys.executable) == os.path.realpath(found[0])
