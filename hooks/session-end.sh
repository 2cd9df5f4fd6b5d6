#!/usr/bin/env bash
# Claude Code's SessionEnd hook: ends the session, and so releases all it holds.
# For people who wire hooks by hand; a word after it (block, warn, proceed) is passed on.
self=${BASH_SOURCE[0]}
while # to where the script itself lies, link by link: macOS may have no readlink -f
  here=${self%/*}
  [[ $here != "$self" ]] || here=.
  [[ -L $self ]]
do
  self=$(readlink "$self")
  [[ $self == /* ]] || self=$here/$self
done
exec "$BASH" -p "$here/scoord_hooks/plugin/hooks/shim.sh" claude-code SessionEnd "$@"
