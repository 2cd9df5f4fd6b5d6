"""A session that is ended as unused goes on later: it is told so, and history keeps it."""

from pathlib import Path

from support.machines import RunningSession, refusal, seconds_until
from support.pair import clones, pair

SETTINGS = "session_coordination: {session_timeout: 2, heartbeat_interval: 1}\n"


def test_who_was_ended_as_unused_is_told_so_and_what_it_lost(tmp_path: Path) -> None:
    files = {"a.py": "", "b.py": "", "coordination.yaml": SETTINGS}
    (machines := tmp_path / "machines").mkdir()
    with pair(machines) as two:
        team = clones(tmp_path / "shop", files)
        alice, bob = two.alice.running_session(team.alices), two.bob.running_session(team.bobs)
        alice.start()
        bob.start()
        assert "" == refusal(alice.edit("a.py"))

        seconds_until("a.py is free", lambda: not refusal(bob.edit("a.py")), 20)
        told = alice.told_at_last("This session was ended as unused")
        assert "nothing was done for longer than 3 s (session_timeout plus one" in told
        seconds_until("it has lost a.py", lambda: "lost (Session_2)" in history(alice), 10)

        lost = next(line for line in history(alice).splitlines() if "lost (Session_2)" in line)
        assert "its session was ended as unused" in lost
        later = told + alice.told()
        assert "Your lock on a.py was lost; Session_2" in later
        assert 1 == later.count("ended as unused")


def history(session: RunningSession) -> str:
    _, said = session.run("history")
    return said
