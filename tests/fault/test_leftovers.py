"""A lab whose run was killed is cleared away by the next one."""

import subprocess
import sys
from pathlib import Path

from support.lab.network import Network, remove_leftovers
from support.processes import wait_until

_RUN = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from support.lab.network import Network
network = Network(("m1",))
network.create()
with network["m1"].entered():
    left = subprocess.Popen(["sleep", "600"])
print(network["m1"].name, left.pid, flush=True)
time.sleep(600)
"""


def test_namespaces_and_processes_of_a_killed_run_are_removed(namespaces: None) -> None:
    tests = str(Path(__file__).parents[1])
    run = subprocess.Popen([sys.executable, "-c", _RUN, tests], stdout=subprocess.PIPE, text=True)
    with run:
        assert run.stdout is not None
        name, pid = run.stdout.readline().split()
        run.kill()

    remove_leftovers()

    assert not (Path("/run/netns") / name).exists()
    wait_until("what ran in it is gone", lambda: not Path(f"/proc/{pid}").exists())


def test_the_namespaces_of_a_run_that_goes_on_are_left_alone(namespaces: None) -> None:
    network = Network(("m1",))
    network.create()
    try:
        remove_leftovers()
        assert (Path("/run/netns") / network["m1"].name).exists()
    finally:
        network.remove()
