"""TaskService: read the request, ask the coordinator, build the reply."""

from typing import Any

import grpc

from scoord.clock import Clock
from scoord.errors import InvalidRequest
from scoord.limits import MOST_AREA, MOST_TASKS
from scoord.text import one_line
from scoord.v1 import tasks_pb2 as pb
from scoord.v1.locks_pb2 import Holder
from scoord.v1.tasks_pb2_grpc import TaskServiceServicer
from scoord_server.coordinator import Coordinator
from scoord_server.model.tasks import AddTasks, FinishTask, NewTask, Offer, TaskFact, Work
from scoord_server.rpc import checks, messages
from scoord_server.rpc.caller import current

MAX_CANDIDATES = 50
MAX_LASTS_S = 600
DEFAULT_LASTS_S = 120

_KINDS = ("task", "area", "file")
_LONGEST_NAME = 4096
_LONGEST_TITLE = 80
"""As lines of history show it; the backlog has it whole."""

Context = grpc.aio.ServicerContext[Any, Any]


class Tasks(TaskServiceServicer):
    """Keeps the backlog, and who was offered what."""

    def __init__(self, coordinator: Coordinator, clock: Clock) -> None:
        self._coordinator = coordinator
        self._clock = clock

    async def AddTasks(self, request: pb.AddTasksRequest, context: Context) -> pb.AddTasksResponse:
        """Add tasks, each once."""
        command = AddTasks(
            checks.request_id(request.request_id),
            checks.project(request.project),
            tuple(map(_new_task, checks.bounded("tasks", request.tasks, MOST_TASKS))),
            source=one_line(request.source),
            by=messages.through(request) or Holder(person=one_line(current.get().person)),
        )
        added = await self._coordinator.tasks.add(command)
        return pb.AddTasksResponse(tasks=(self._task(fact) for fact in added))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """List tasks, oldest first."""
        project = checks.project(request.project)
        tasks, offers = await self._coordinator.tasks.list(project)
        to = {fact.work.name: fact.record.session for fact in offers if fact.work.kind == "task"}
        wanted = (fact for fact in tasks if request.done_too or not fact.record.done)
        return pb.ListTasksResponse(
            tasks=(self._task(fact, to.get(fact.task_id)) for fact in wanted)
        )

    async def FinishTask(
        self, request: pb.FinishTaskRequest, context: Context
    ) -> pb.FinishTaskResponse:
        """Say that a task is done."""
        task = await self._coordinator.tasks.finish(_finish(request))
        return pb.FinishTaskResponse(task=self._task(task))

    async def RemoveTask(
        self, request: pb.RemoveTaskRequest, context: Context
    ) -> pb.RemoveTaskResponse:
        """Take a task off the backlog."""
        task = await self._coordinator.tasks.finish(_finish(request, removed=True))
        return pb.RemoveTaskResponse(task=self._task(task))

    async def Offer(self, request: pb.OfferRequest, context: Context) -> pb.OfferResponse:
        """Keep work for a session."""
        candidates = checks.bounded("candidates", request.candidates, MAX_CANDIDATES)
        if not 0 <= request.count <= MAX_CANDIDATES:
            raise InvalidRequest(f"count is {request.count}; 0 to {MAX_CANDIDATES} are allowed")
        command = Offer(
            checks.request_id(request.request_id),
            checks.project(request.project),
            checks.session_id(request.session_id),
            tuple(map(_work, candidates)),
            _lasts_s(request),
            request.count or 1,
            keeps_rest=request.keeps_rest,
            keeps_nothing=request.keeps_nothing,
        )
        kept = await self._coordinator.tasks.offer(command)
        return pb.OfferResponse(
            offered=(pb.Work(kind=w.kind, name=w.name, title=w.title) for w in kept)
        )

    def _task(self, fact: TaskFact, offered_to: Holder | None = None) -> pb.Task:
        record = fact.record
        # One that was removed is kept as if it were done; nobody has done it.
        is_done = record.done and not record.removed
        return pb.Task(
            task_id=fact.task_id,
            title=record.title,
            area=record.area,
            source=record.source,
            age=messages.duration(self._clock.wall_ms() - record.added_unix_ms),
            done=is_done,
            done_by=record.done_by if is_done else "",
            offered_to=offered_to,
        )


def _new_task(task: pb.NewTask) -> NewTask:
    title = one_line(task.title)
    if not title:
        raise InvalidRequest("a task has no title")
    return NewTask(title, one_line(task.area, MOST_AREA))


def _finish(
    request: pb.FinishTaskRequest | pb.RemoveTaskRequest, *, removed: bool = False
) -> FinishTask:
    return FinishTask(
        checks.request_id(request.request_id),
        checks.project(request.project),
        checks.last_in_key("task_id", request.task_id),
        one_line(request.by),
        messages.through(request),
        removed,
    )


def _work(work: pb.Work) -> Work:
    if work.kind not in _KINDS:
        raise InvalidRequest(f"kind is {one_line(work.kind, 40)!r}; want {', '.join(_KINDS)}")
    if not 0 < len(work.name.encode()) <= _LONGEST_NAME or "\0" in work.name:
        raise InvalidRequest(f"a candidate's name is empty or over {_LONGEST_NAME} bytes")
    return Work(work.kind, work.name, one_line(work.title, _LONGEST_TITLE))


def _lasts_s(request: pb.OfferRequest) -> int:
    lasts_ms = messages.milliseconds("lasts", request.lasts, MAX_LASTS_S)
    return -(-lasts_ms // 1000) or DEFAULT_LASTS_S
