#!/usr/bin/env bash
# Passes one hook event of a coding CLI to the agent on this machine, and its answer back.
#
#   shim.sh CLIENT EVENT [block|warn|proceed]    the event's JSON comes on stdin
#
# The last word says what becomes of an edit when the agent cannot be asked; without
# it, what the user's settings said when the agent last started.
# Always exits 0, and within 2.5 s: a hook that fails lets the edit through unseen.
# But for one thing: an event that comes through a pipe, and is begun, is read to its end.
# Runs on bash 3.2, and starts another program only where it has to: to start the agent, or,
# before bash 4.1, to read from a socket.
set -u
LC_ALL=C # ${#body} counts bytes
trap '' PIPE # an agent that hangs up is an answer too

client=${1-} event=${2-} policy=${3-}
wait_s=2 soon_s=0.4
((BASH_VERSINFO[0] > 3)) || soon_s=1 # whole seconds only
{ : 3<&0; } 2>&- || exec </dev/null # closed: what is opened next would be read in its place

# Answers in the agent's place, in Claude Code's dialect. Only an edit, the start of a
# session and, once, a prompt are worth a word: the other events would repeat it.
answer_alone() {
  case $policy/$event in
    proceed/*) ;;
    block/PreToolUse) deny "$1" ;;
    */UserPromptSubmit) is_news && warn "$1" ;;
    */PreToolUse | */SessionStart) warn "$1" ;;
  esac
  exit 0
}

warn() {
  tell "edits are not coordinated now: $1. See: scoord doctor"
}

# Where a session's start has started an agent that is not up yet: nothing is wrong so far.
say_it_starts() {
  local then='once it is up, the next prompt or edit tells this session who else is here'
  [[ $policy == proceed ]] || tell "the agent is being started; $then. If none does: scoord doctor"
  exit 0
}

# With http hooks nobody speaks for an agent that is gone when a file is edited. Not where one
# was started a moment ago, and to each session once: its process is written down until a
# prompt is answered again.
is_news() {
  [[ -z $is_starting && -d $state_dir ]] || return
  [[ ! -s $told || " $(<"$told") " != *" $who "* ]] || return
  printf '%s ' "$who" >>"$told"
} 2>/dev/null

# The texts are ours alone, so they need no escaping. The model is told what its user is: it
# may compare before it goes on.
tell() {
  local told="Session Coordinator: $1"
  printf '{"hookSpecificOutput":{"hookEventName":"%s","additionalContext":"%s"},' "$event" "$told"
  printf '"systemMessage":"%s"}\n' "$told"
}

deny() {
  printf '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny",'
  printf '"permissionDecisionReason":"Nobody can say whether another session holds this file: %s. ' "$1"
  printf 'unreachable_action is block, so the edit was not made. Try again in a moment; '
  printf 'if it stays so, ask the user to run: scoord doctor"},'
  printf '"systemMessage":"Session Coordinator: an edit was blocked: %s. See: scoord doctor"}\n' "$1"
}

# An installed copy of this script lies in the state directory. That holds even where
# a coding CLI was started without the variables of a login shell.
find_state_dir() {
  local own=${BASH_SOURCE[0]%/*}
  if [[ -n ${SCOORD_STATE_DIR-} ]]; then
    state_dir=$SCOORD_STATE_DIR
  elif [[ $own == */hooks && -f ${own%/hooks}/hook.env ]]; then
    state_dir=${own%/hooks}
  elif [[ ${XDG_STATE_HOME-} == /* ]]; then
    state_dir=$XDG_STATE_HOME/scoord
  else
    state_dir=${HOME-}/.local/state/scoord
  fi
}

# Reads an event that is there at once; fails where the rest of it has to be waited for. A
# pipe is read in one go: 440 KB in 2 ms, where a "read" that can give up takes 170 ms and
# more. A socket cannot be opened by name.
read_at_once() {
  [[ ! -S /dev/stdin ]] || return 1
  [[ -f /dev/stdin ]] || IFS= read -r -d '' -n 1 -t "$soon_s" body || return 1
  body+=$(</dev/stdin) && is_whole=yes
} 2>/dev/null

# Before bash 4.1 there is no -N, and a program has to help.
read_late() {
  local rest=''
  IFS= read -r -N 1000000000 rest || [[ -n $rest ]] || rest=$(cat)
  body+=$rest
} 2>/dev/null

connect() {
  exec 3<>"/dev/tcp/127.0.0.1/$SCOORD_PORT"
} 2>/dev/null

# With a process group of its own: what stops the hook does not stop the agent.
start_agent() (
  : >"$start_mark"
  cd /
  export SCOORD_STATE_DIR=$state_dir SCOORD_AGENT_PORT=$SCOORD_PORT
  set -m
  set -- nohup
  if type setsid >/dev/null 2>&1; then set -- nohup setsid; fi
  "$@" "$SCOORD_PYTHON" -P -m scoord_agent </dev/null >/dev/null 2>&1 &
)

# At a session's start, a missing agent is started and waited for. At a prompt and an
# edit, one that was killed is started for the events to come: its pid is still there.
connect_or_start() {
  connect && return
  case $event in
    SessionStart) start_and_connect && return ;;
    UserPromptSubmit | PreToolUse)
      see_start
      [[ -n $is_starting || ! -s $state_dir/agent.lock ]] || start_agent
      ;;
  esac
  return 1
}

start_and_connect() {
  local tries=20
  [[ -x $SCOORD_PYTHON ]] || return
  reply=''
  start_agent
  printf 'starting\0'
  while ((tries-- > 0)); do
    sleep 0.1
    connect && return
  done
  return 1
}

# Whether one was started within the last minute, and does not listen yet. Whoever starts one
# leaves a mark, which goes when an agent listens: many hooks at once start one, and what fails
# is not repeated for a minute. A mark from the future is of a clock that was set back since,
# and says nothing.
see_start() {
  [[ -e $start_mark ]] || return
  [[ -n $(find "$start_mark" \( -mmin +1 -o -mmin -0 \)) ]] || is_starting=yes
} 2>/dev/null

send_request() {
  local intent=${SCOORD_INTENT-}
  intent=${intent//[[:cntrl:]]/ }
  printf 'POST /v1/hooks/%s/%s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\nAuthorization: Bearer %s\r\n' \
    "$client" "$event" "$SCOORD_PORT" "$SCOORD_TOKEN"
  printf 'X-Scoord-Pid: %s\r\n' "$who"
  if [[ -n $intent ]]; then printf 'X-Scoord-Intent: %s\r\n' "${intent:0:2000}"; fi
  printf 'Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' "${#body}" "$body"
}

# Reads the body into "answer". Fails on all but a whole 200 with a JSON object.
receive_answer() {
  local protocol status rest line length=0
  read -r -t "$wait_s" protocol status rest || return 1
  while IFS= read -r -t "$wait_s" line && line=${line%$'\r'} && [[ -n $line ]]; do
    case $line in [Cc]ontent-[Ll]ength:*) length=${line//[!0-9]/} ;; esac
  done
  [[ $protocol == HTTP/1.? && $status == 200 ]] || return 1
  IFS= read -r -t "$wait_s" -d '' -n "${length:-0}" answer
  [[ ${#answer} == "$length" && $answer == '{'*'}' ]]
}

# Puts the answer into "reply"; or, when it fails, why there is none.
converse() {
  local answer='' begun=$SECONDS
  reply="no agent listens on port $SCOORD_PORT"
  connect_or_start || return
  reply="port $SCOORD_PORT gave no valid answer"
  if send_request >&3 && receive_answer <&3; then
    reply=$answer
    return
  fi
  if ((SECONDS - begun >= wait_s)); then reply=''; fi
  return 1
} 2>/dev/null

# The same in a process of its own, which reads the event first if that is not here yet: bash
# can stop waiting for a pipe, but not for the end of an event, or a full socket. Its id is
# known from bash 4.4 on; before, one that is stuck ends with the event, or when the agent
# goes on or dies.
converse_apart() {
  exec 4< <(
    [[ -n $is_whole ]] || read_late
    if converse; then
      printf '%s\0' "$reply"
    else
      printf '%s\0%s' "${is_starting:+starting}" "$reply"
    fi
  )
  while IFS= read -r -d '' -t "$wait_s" reply <&4; do
    [[ $reply != '{'* ]] || return 0
    [[ $reply != starting ]] || is_starting=yes
    reply=''
  done
  kill "${!-}" 2>/dev/null
  [[ $reply == '{'* ]] && reply=''
  return 1
}

# A short event fits into the socket, so only its answer can be long in coming, and the
# process that is saved is half of what a hook costs. But when an agent stands still,
# its queue of connections fills up, and then connecting hangs as well: whoever waited
# in vain leaves a mark for those who come after.
ask_agent() {
  local mark=$state_dir/silent
  if [[ -n $is_whole && $event != SessionStart && ! -s $mark ]] && ((${#body} < 65536)); then
    converse && return
    [[ -n $reply ]] || printf 'the agent did not answer\n' >"$mark"
    return 1
  fi
  converse_apart || return
  if [[ -s $mark ]]; then : >"$mark"; fi
} 2>/dev/null

main() {
  local body='' is_whole='' is_starting='' state_dir='' reply=''
  read_at_once
  find_state_dir
  local who=${CLAUDE_PID:-$PPID} start_mark=$state_dir/agent.starting told=$state_dir/unguarded
  if [[ ! -r $state_dir/hook.env ]]; then
    answer_alone 'the agent is not set up for this user (no hook.env); run: scoord hooks install'
  fi
  # shellcheck source=/dev/null
  . "$state_dir/hook.env"
  policy=${policy:-${SCOORD_UNREACHABLE-}}
  if ask_agent; then
    printf '%s\n' "$reply"
    [[ $event != UserPromptSubmit || ! -s $told ]] || : >"$told"
    return
  fi
  # So that the agent tells this session at its next hook what it would have told it now.
  [[ $event != SessionStart ]] || : >"$state_dir/ungreeted.$who"
  [[ $event/$is_starting/$reply != SessionStart/yes/ ]] || say_it_starts
  [[ -n $is_whole ]] || reply=${reply:-all of the event, or an answer, did not come within $wait_s s}
  answer_alone "${reply:-the agent did not answer within $wait_s s}"
}

main
exit 0
