"""Keeps a task for the session that works on it, for as long as it does.

An offer ends by itself, and soon: most of what is suggested nobody takes up. Who is seen
to work on what it was offered has it kept again and again, until it ends, asks for other
work, or was not seen to for long. Nothing here is waited for by a hook.
"""

from collections.abc import Iterable
from dataclasses import replace

from scoord.clock import Clock
from scoord.ids import ProjectId
from scoord.paths import FileIdentity
from scoord.v1.tasks_pb2 import Work
from scoord_agent import wording_work
from scoord_agent.background import Background
from scoord_agent.coordinator import CoordinatorClient
from scoord_agent.knowledge.ranking import Ranked
from scoord_agent.local_session import LocalSession
from scoord_agent.offers import offer
from scoord_agent.pursuit import KEPT_S, Given, Pursuit, meant, touched
from scoord_agent.sessions import Sessions


class Pursuits:
    """What the sessions of this machine were offered, and which of it they do."""

    def __init__(
        self,
        *,
        client: CoordinatorClient,
        sessions: Sessions,
        clock: Clock,
        background: Background,
    ) -> None:
        self._client = client
        self._sessions = sessions
        self._clock = clock
        self._background = background

    def given(self, session: LocalSession, project: ProjectId, kept: Iterable[Ranked]) -> None:
        """A session was offered this; all that it was offered before and is not in it is let go."""
        works = [one.work for one in kept if one.work.kind == "task"]
        work = session.work
        work.given = tuple(Given(project, each.name, each.title, each.named) for each in works)
        if work.pursuit and work.pursuit.task not in work.given:
            work.pursuit = None

    def prompted(self, session: LocalSession, prompt: str) -> None:
        """A prompt may mean a task that its session was offered."""
        if task := meant(session.work.given, prompt):
            self._takes_up(session, task)

    def edited(self, session: LocalSession, file: FileIdentity) -> None:
        """An edit may be for one; not for another than that on which the session works."""
        task, pursuit = touched(session.work.given, file), session.work.pursuit
        if task and (pursuit is None or pursuit.is_over or pursuit.task == task):
            self._takes_up(session, task)

    def renew(self) -> None:
        """Keep again what it is time for."""
        for session in self._sessions:
            self._keep(session)

    def _takes_up(self, session: LocalSession, task: Given) -> None:
        """A session is seen to work on a task, maybe again."""
        before = self._pursuit(session, task) or Pursuit(task)
        session.work.pursuit = replace(before, again=0)
        self._keep(session)

    def _keep(self, session: LocalSession) -> None:
        pursuit, now = session.work.pursuit, self._clock.now()
        if pursuit and session.registered and pursuit.is_due(now):
            session.work.pursuit = pursuit.kept(now)
            self._background.start(self._offer(session, pursuit.task))

    async def _offer(self, session: LocalSession, task: Given) -> None:
        """Have it kept, unless the session was offered other work meanwhile.

        The rest of what it was offered stays its own for as long as it was told.
        """
        async with session.work.offering:
            if self._pursuit(session, task) is None:
                return
            kept = await offer(
                self._client,
                session.session_id,
                task.project,
                [Work(kind="task", name=task.task_id, title=task.title)],
                count=1,
                lasts_s=KEPT_S,
                keeps_rest=True,
            )
        if pursuit := self._pursuit(session, task):
            if not kept and not pursuit.missed:
                session.tell(wording_work.missed(task.task_id))
            session.work.pursuit = replace(pursuit, missed=not kept)

    @staticmethod
    def _pursuit(session: LocalSession, task: Given) -> Pursuit | None:
        """That of a task; None once the session has turned to other work."""
        pursuit = session.work.pursuit
        return pursuit if pursuit and pursuit.task == task else None
