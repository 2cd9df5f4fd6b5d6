#!/usr/bin/env bash
# Claude Code's PreToolUse hook: takes the file's lock, or refuses the edit.
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
exec "$BASH" -p "$here/scoord_hooks/plugin/hooks/shim.sh" claude-code PreToolUse "$@"
