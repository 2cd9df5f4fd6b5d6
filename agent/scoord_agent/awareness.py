"""What an agent hears of others and tells of its own sessions: these parts, wired together."""

from collections.abc import Callable
from pathlib import Path

from scoord.ids import ProjectId, SessionId
from scoord.paths import FileIdentity
from scoord.v1.events_pb2 import WatchResponse
from scoord.v1.locks_pb2 import Lock
from scoord_agent.activity import Activity
from scoord_agent.common import Common
from scoord_agent.dependents import Dependents
from scoord_agent.estimates import Completion
from scoord_agent.hold_times import HoldTimes
from scoord_agent.knowledge.knowing import Knowing
from scoord_agent.local_session import LocalSession
from scoord_agent.neighbours import Neighbours
from scoord_agent.publishing import Publishing
from scoord_agent.pursuits import Pursuits
from scoord_agent.reactions import Acknowledge, Reactions
from scoord_agent.relations import Relations
from scoord_agent.surroundings import Surroundings
from scoord_agent.waits import Waits


class Awareness:
    """The neighbours, the repositories, and what both mean for the sessions of this machine."""

    def __init__(
        self,
        common: Common,
        *,
        lapsed: Callable[[SessionId], None],
        acknowledge: Acknowledge,
        heard: Callable[[ProjectId, WatchResponse], None],
    ) -> None:
        """The first two are what ``Reactions`` does about what it hears; who else hears is last."""
        self._heard_too = heard
        client, clock, background = common.client, common.clock, common.background
        self.neighbours = Neighbours(client, clock, self._heard)
        self.hold_times = HoldTimes(
            client=client, sessions=common.sessions, clock=clock, background=background
        )
        self.knowing = Knowing(
            learn=common.learn,
            locator=common.locator,
            settings=common.settings,
            background=background,
            clock=clock,
            learned=self._learned,
        )
        around, relations = Surroundings(self.knowing), Relations(self.neighbours)
        self.publishing = Publishing(
            client=client,
            sessions=common.sessions,
            settings=common.settings,
            relations=relations,
            background=background,
            clock=clock,
        )
        self.activity = Activity(publishing=self.publishing, clock=clock, area_of=around.area_of)
        self.pursuits = Pursuits(
            client=client, sessions=common.sessions, clock=clock, background=background
        )
        self.waits = Waits(self.publishing.note)
        self.dependents = self._tell_of_dependents(common, around, relations)
        self._reactions = Reactions(
            sessions=common.sessions,
            held=common.held,
            turns=common.turns,
            lapsed=lapsed,
            acknowledge=acknowledge,
            waits=self.waits,
        )

    def _tell_of_dependents(
        self, common: Common, around: Surroundings, relations: Relations
    ) -> Dependents:
        return Dependents(
            sessions=common.sessions,
            neighbours=self.neighbours,
            relations=relations,
            area_of=around.area_of,
            imports_of=around.imports_of,
            belonging_to=around.belonging_to,
            meant_by=around.meant_by,
            free_in=self._free_in,
            clock=common.clock,
            changed=self.publishing.note,
        )

    def _free_in(self, project: ProjectId, lock: Lock) -> Completion | None:
        return self.hold_times.completion(project, lock, self.neighbours)

    def _heard(self, project: ProjectId, response: WatchResponse) -> None:
        self._reactions.react(project, response)
        self.hold_times.heard(project, response)
        self.dependents.heard(project, response)
        self._heard_too(project, response)

    def _learned(self, root: Path) -> None:
        self.dependents.learned(root)

    def edited(self, session: LocalSession, file: FileIdentity) -> None:
        """A session of this machine has edited a file."""
        self.dependents.edited(session, file)
        self.activity.edited(session, file)
        self.pursuits.edited(session, file)
