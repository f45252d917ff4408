# Shared by the scripts here: where things are and who runs. Sourced, not run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# The binary; another one may be given in MARQUEE.
marquee=${MARQUEE:-$here/../target/release/marquee}
state=$here/../target/cluster
nodes="control-1 control-2 control-3 shard-1 shard-2 shard-3 shard-4 router-1 router-2"
control=http://127.0.0.1:7101,http://127.0.0.1:7102,http://127.0.0.1:7103

# The process of this node lives.
runs() { [ -f "$state/$1.pid" ] && kill -0 "$(cat "$state/$1.pid")" 2>/dev/null; }

# `marquee ctl` against any control node.
ctl() { MARQUEE_ENDPOINT=$control "$marquee" ctl "$@"; }
