# Shared by the scripts here: paths, the nodes' names, and which of them run. Sourced, not run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# The binary; MARQUEE may name another one.
marquee=${MARQUEE:-$here/../target/release/marquee}
state=$here/../target/cluster
nodes="control-1 control-2 control-3 shard-1 shard-2 shard-3 shard-4 router-1 router-2"
control=https://127.0.0.1:7101,https://127.0.0.1:7102,https://127.0.0.1:7103
# Certificates of the nodes, and of a user who may do what operators and callers may.
certs=$state/certs
export MARQUEE_TLS_CA="$certs/ca.pem" MARQUEE_CERT="$certs/developer.pem" MARQUEE_KEY="$certs/developer.key"

# Whether the process of this node runs. Checks its command line, too, where `ps` is there: after a restart of the
# machine the number in the file may be another program's.
runs() {
  [ -f "$state/$1.pid" ] || return 1
  if command -v ps >/dev/null; then
    ps -o args= -p "$(cat "$state/$1.pid")" 2>/dev/null | grep -q "$1\.toml"
  else
    kill -0 "$(cat "$state/$1.pid")" 2>/dev/null
  fi
}

# `marquee ctl` against any control node.
ctl() { MARQUEE_ENDPOINT=$control "$marquee" ctl "$@"; }
