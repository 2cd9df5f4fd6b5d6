"""Virtual time: an event loop that never waits, and the processes it runs.

A process here is what an operating system would schedule: an agent, a replica, the
coding CLIs of a machine. Which one a callback belongs to is in its context, so that
whatever a process starts is its own. Within a process callbacks run in the order
they were made ready, as asyncio promises; whose turn it is among the processes is
drawn. A frozen process runs nothing, a dead one never again.
"""

import asyncio
import contextvars
import heapq
import random
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_PREEMPTED = 0.3
"""The chance that another process has its turn after a callback."""

_MOST_STEPS = 2_000_000
"""A hundred times what a history takes."""

_TINY_S = 1e-9
"""Clocks are floats: a timer that is due may seem to be this early."""

_owner: "contextvars.ContextVar[Process]" = contextvars.ContextVar("process")


class HostClock:
    """The clock of one machine. It may run fast or slow, and counts suspend."""

    def __init__(self, loop: "VirtualLoop", rate: float = 1.0, booted_s: float = 1000.0) -> None:
        self.rate = rate
        self.wall_offset_ms = 1_700_000_000_000
        self._loop = loop
        self._booted_s = booted_s
        self._slept_s = 0.0
        self._asleep_at: float | None = None

    def now(self) -> float:
        """Seconds, suspend counted."""
        # As _since_boot_s, written out.
        return self._booted_s + self._loop.true_s * self.rate

    def wall_ms(self) -> int:
        """Milliseconds since 1970, as this machine thinks."""
        return self.wall_offset_ms + round(self.now() * 1000)

    def running(self) -> float:
        """Seconds, suspend left out: what timers wait for."""
        if self._asleep_at is not None:
            return self._asleep_at - self._slept_s
        # As _since_boot_s, written out: every timer asks.
        return self._booted_s + self._loop.true_s * self.rate - self._slept_s

    @property
    def asleep(self) -> bool:
        """Whether it is suspended now."""
        return self._asleep_at is not None

    def suspend(self) -> None:
        """The lid is closed."""
        self._asleep_at = self._since_boot_s()

    def resume(self) -> None:
        """The lid is opened."""
        if self._asleep_at is not None:
            self._slept_s += self._since_boot_s() - self._asleep_at
            self._asleep_at = None

    def _since_boot_s(self) -> float:
        return self._booted_s + self._loop.true_s * self.rate


class Handle:
    """A callback that will run, unless it is cancelled."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_when", "is_timer", "process")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        process: "Process",
        when: float = 0.0,
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False
        self._when = when
        self.is_timer = False
        self.process = process

    def when(self) -> float:
        """When it is due, by its process's clock."""
        return self._when

    def cancel(self) -> None:
        """Never run."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def run(self) -> None:
        """Run now, in its context."""
        if not self._cancelled:
            self._context.run(self._callback, *self._args)


class Process:
    """What runs or stands still as one."""

    def __init__(self, loop: "VirtualLoop", name: str, clock: HostClock) -> None:
        self.name = name
        self.clock = clock
        self.ready: deque[Handle] = deque()
        self.parked: list[Handle] = []
        """Timers that came due while the machine was asleep: they have not."""
        self.frozen = 0
        self.dead = False
        self.died_s = float("-inf")
        """When it was killed in the midst of work."""
        self._loop = loop
        self._context = contextvars.Context()
        self._context.run(_owner.set, self)
        loop.processes.append(self)
        loop.living.append(self)

    def start(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """Run ``work`` in this process."""
        return self._loop.create_task(work, context=self._context.copy())

    def post(self, delay_s: float, callback: Callable[..., object], *args: object) -> None:
        """Run ``callback`` in this process after ``delay_s`` of true time, if it lives then."""
        handle = Handle(callback, args, self._context.copy(), self)
        self._loop.deliver(delay_s, handle)

    def every(self, pause_s: Callable[[], float], callback: Callable[[], bool | None]) -> None:
        """Run ``callback`` again and again, by its own clock, until that says False.

        As a task that sleeps would, without the task.
        """
        context = self._context.copy()

        def tick() -> None:
            if callback() is not False:
                self._loop.call_later(pause_s(), tick, context=context)

        self._loop.call_later(pause_s(), tick, context=context)

    @property
    def is_awaited(self) -> bool:
        """Whether something from outside has come for it that it has not seen yet."""
        return any(not handle.is_timer for handle in self.ready)

    def kill(self) -> None:
        """End it at once; nothing of it runs any more, not even a ``finally``."""
        if not self.frozen:
            self.died_s = self._loop.true_s
        self.dead = True
        self.frozen += 1
        self._loop.forget(self)


def running_process() -> Process:
    """The process that runs now."""
    return _owner.get()


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs processes in virtual time; every choice is drawn from ``rng``."""

    def __init__(self, rng: random.Random) -> None:
        self.true_s = 0.0
        self.processes: list[Process] = []
        self.living: list[Process] = []
        """Those that may yet run."""
        self.failures: list[dict[str, Any]] = []
        self.world = Process(self, "world", HostClock(self, booted_s=0.0))
        self._rng = rng
        self._tasks: list[asyncio.Task[Any]] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._counter = 0
        self._closed = False

    # -- what asyncio asks for ----------------------------------------------------

    def time(self) -> float:
        """The clock of whoever asks."""
        return _owner.get(self.world).clock.running()

    def call_soon(  # type: ignore[override]  # a handle of ours
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """Run in its process, after what is ready there."""
        context = context if context is not None else contextvars.copy_context()
        process = context.get(_owner, self.world)
        handle = Handle(callback, args, context, process)
        process.ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]  # a handle of ours
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """Run when its process's clock shows ``when``."""
        context = context if context is not None else contextvars.copy_context()
        process = context.get(_owner, self.world)
        handle = Handle(callback, args, context, process, when)
        if not process.dead:
            handle.is_timer = True
            self._push_timer(handle)
        return handle

    def call_later(  # type: ignore[override]  # a handle of ours
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """Run in ``delay`` seconds of its process's clock."""
        context = context if context is not None else contextvars.copy_context()
        process = context.get(_owner, self.world)
        clock = process.clock
        handle = Handle(callback, args, context, process, clock.running() + delay)
        if not process.dead:
            handle.is_timer = True
            self._push(self.true_s + max(0.0, delay / clock.rate), handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]  # a handle of ours
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Handle:
        """There are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]  # generators are never tasks here
        self,
        coro: Coroutine[Any, Any, Result],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[Result]":
        """A task, kept alive to the end: what a dead process held must not be tidied up."""
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]  # a plain future of this loop
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """Run at once: a thread would end when it likes."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 (as a thread's failure, it is its waiter's)
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep it: nothing may fail unseen."""
        if context.get("exception") is not None:
            self.failures.append(context)

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """Whether it can be used."""
        return not self._closed

    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._closed

    # -- time ---------------------------------------------------------------------

    def deliver(self, delay_s: float, handle: Handle) -> None:
        """Make ``handle`` ready in its process after ``delay_s`` of true time."""
        self._push(self.true_s + delay_s, handle)

    def forget(self, process: Process) -> None:
        """It is dead: it has no turn any more."""
        if process in self.living:
            self.living.remove(process)

    def wake(self, process: Process) -> None:
        """Its machine is not suspended any more: time goes on for its timers."""
        parked, process.parked = process.parked, []
        for handle in parked:
            self._push_timer(handle)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run ``work`` in the world's process, and everything else, until it is done."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._finalize)
        asyncio.events._set_running_loop(self)
        try:
            task = self.world.start(work)
            steps = 0
            while not task.done():
                self._step()
                steps += 1
                if steps > _MOST_STEPS:
                    raise RuntimeError("the history does not come to its end")
            self._wind_up()
            return task.result()
        finally:
            self._closed = True
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _step(self) -> None:
        """Let one process run for a while, as a scheduler would; or let time pass."""
        able = [p for p in self.living if p.ready and not p.frozen]
        if not able:
            self._advance()
            return
        chance = self._rng.random
        process = able[0] if len(able) == 1 else able[int(chance() * len(able))]
        ready = process.ready
        while ready and not process.frozen:
            handle = ready.popleft()
            # As Handle.run, written out: nothing is done more often.
            if not handle._cancelled:
                handle._context.run(handle._callback, *handle._args)
            if chance() < _PREEMPTED:
                return

    def _advance(self) -> None:
        """Go to the next timer or message."""
        handle = None
        while handle is None or handle._cancelled or handle.process.dead:
            if not self._timers:
                raise RuntimeError("everything stands still, and the history is not over")
            due, _, handle = heapq.heappop(self._timers)
        process = handle.process
        self.true_s = max(self.true_s, due)
        if not handle.is_timer:
            process.ready.append(handle)
        elif process.clock.asleep:
            process.parked.append(handle)
        elif handle._when > process.clock.running() + _TINY_S:
            self._push_timer(handle)  # its machine was asleep meanwhile
        else:
            process.ready.append(handle)

    def _push_timer(self, handle: Handle) -> None:
        clock = handle.process.clock
        ahead_s = (handle.when() - clock.running()) / clock.rate
        self._push(self.true_s + max(0.0, ahead_s), handle)

    def _push(self, due: float, handle: Handle) -> None:
        self._counter += 1
        heapq.heappush(self._timers, (due, self._counter, handle))

    def _wind_up(self) -> None:
        """Let every task end in order, the dead processes' too; time stands still."""
        self.living = self.processes
        for process in self.processes:
            process.dead, process.frozen = False, 0
        for _ in range(8):
            pending = [task for task in self._tasks if not task.done()]
            if not pending:
                return
            for task in pending:
                task.cancel()
            while any(process.ready for process in self.processes):
                self._step()

    def _finalize(self, generator: AsyncGenerator[Any, None]) -> None:
        if not self._closed:
            self.create_task(generator.aclose())
