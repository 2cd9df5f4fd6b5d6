"""Planted mistakes: what is changed, where, and which tests must notice.

Each is one edit of one file. ``before`` stands there exactly once, or the mutant is
stale: a unit test sees to that, so that the list moves with the code.
"""

from mutants import of_agent, of_server

MUTANTS = (*of_server.MUTANTS, *of_agent.MUTANTS)
