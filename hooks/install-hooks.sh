#!/usr/bin/env bash
# Installs the hooks with the scoord of this checkout, else with the one on PATH.
self=${BASH_SOURCE[0]}
while # to where the script itself lies, link by link: macOS may have no readlink -f
  here=${self%/*}
  [[ $here != "$self" ]] || here=.
  [[ -L $self ]]
do
  self=$(readlink "$self")
  [[ $self == /* ]] || self=$here/$self
done
scoord=$here/../.venv/bin/scoord
[[ -x $scoord ]] || scoord=$(command -v scoord) || {
  echo 'error: no scoord in this checkout or on PATH; run "make up" in the checkout first' >&2
  exit 2
}
exec "$scoord" hooks install "$@"
