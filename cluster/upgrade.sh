#!/bin/sh
# Restarts all nodes one after the other, each when nothing is wrong with the cluster: a rolling upgrade, once the binary
# was replaced. Stops at the first node after which something stays wrong, and can be started again.
. "$(dirname "$0")/env.sh"
# Seconds that the cluster may take until nothing is wrong.
patience=${UPGRADE_PATIENCE:-120}

well() {
  ctl status --wait --timeout "$patience" >"$state/upgrade.status" && return
  cat "$state/upgrade.status" >&2
  echo "stopped $1: see what is wrong above, and start this again" >&2
  exit 1
}

well "before the first node"
for node in ${*:-$nodes}; do
  if runs "$node"; then
    kill "$(cat "$state/$node.pid")"
    # SIGTERM lets requests under way end.
    while runs "$node"; do sleep 0.1; done
  fi
  "$marquee" serve --config "$here/$node.toml" >>"$state/$node.log" 2>&1 &
  echo $! >"$state/$node.pid"
  # A status of the moment before the node is missed says nothing of it.
  sleep 1
  well "after $node"
  echo "$node is upgraded"
done
