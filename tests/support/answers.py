"""What an agent answers the command line."""

from typing import Any

LOCK = {
    "project": "github.com/acme/app",
    "path": "auth.py",
    "token": 7,
    "alias": "Session_1",
    "person": "alice",
    "host": "mbp",
    "branch": "feature/login",
    "reason": "refactor\x1b[31m authentication",
    "held_s": 360.0,
}
STATUS: dict[str, Any] = {
    "agent": {"pid": 1, "version": "0.1.0", "port": 7790, "new_in_a_later_version": True},
    "coordinator": {"state": "connected", "address": "127.0.0.1:7780", "heard_s": 0.1},
    "project": {"id": "github.com/acme/app", "shared": True, "named_by": "origin", "root": "/a"},
    "sessions": [{"alias": "Session_1", "person": "alice", "host": "mbp", "intent": "x" * 300}],
    "locks": [LOCK],
    "view_age_s": 0.1,
    "problems": [],
}
