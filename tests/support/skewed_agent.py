"""The real agent on a clock that goes wrong. A program: its argument is the file that says how.

The file holds a rate and a jump in seconds, as in ``0.5 0``; what it says counts from
when it is read for the first time. Production code knows nothing of this: the clock is
a parameter of the agent's.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from scoord import config, local, logs
from scoord.clock import SystemClock
from scoord_agent import main
from scoord_agent.service import Service
from support.machines import Machine
from support.processes import Program, wait_until


class SkewedClock:
    """A clock of this machine, at another rate, and with jumps."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._system = SystemClock()
        self._said = ""
        self._rate = 1.0
        self._real = self._own = self._system.now()

    def now(self) -> float:
        """Seconds, as the file says they go by."""
        real = self._system.now()
        own = self._own + (real - self._real) * self._rate
        said = self._control.read_text(encoding="ascii")
        if said != self._said:
            rate, jump = map(float, said.split())
            self._said, self._rate = said, rate
            self._real, self._own = real, own + jump
            _taken(self._control).write_text(said, encoding="ascii")
            return self._own
        return own

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return self._system.wall_ms()


def _taken(control: Path) -> Path:
    """What the clock goes by, as it says itself."""
    return control.with_suffix(".taken")


class SkewedMachine(Machine):
    """A machine whose agent's clock can be set to go wrong."""

    @property
    def control(self) -> Path:
        """What its clock reads."""
        return self.home / "clock"

    def clock(self, rate: float, jump_s: float = 0.0) -> None:
        """Let the agent's clock go at ``rate``, and jump once."""
        part = self.control.with_suffix(".part")
        part.write_text(f"{rate} {jump_s}", encoding="ascii")
        part.replace(self.control)

    def goes_as_said(self) -> bool:
        """Whether the agent has read what its clock was set to last."""
        said = self.control.read_text(encoding="ascii")
        return _taken(self.control).read_text(encoding="ascii") == said

    def start_agent(self) -> Program:
        """Start the agent on that clock, and wait until it listens."""
        self.clock(1.0)
        env = self.env | {"PYTHONPATH": str(Path(__file__).parents[1])}
        arguments = ["support.skewed_agent", str(self.control)]
        self.agent = Program(arguments, env, self.home / "agent.out")
        wait_until(f"the agent listens: {self.agent.log}", self._listens)
        return self.agent


async def _serve(clock: SkewedClock) -> None:
    place, settings = main._place(), config.load(None, local.config_dir(), os.environ)
    logs.start(logs.AGENT, verbose=False)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Service(place, settings, main._machine(), clock).run(stop)


if __name__ == "__main__":
    asyncio.run(_serve(SkewedClock(Path(sys.argv[1]))))
