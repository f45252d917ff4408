#!/bin/sh
# Ends every node with SIGTERM: it completes its requests and exits. Data stays in target/cluster.
. "$(dirname "$0")/env.sh"
for node in $nodes; do
  runs "$node" && kill -TERM "$(cat "$state/$node.pid")" && echo "stopping $node"
done
tries=150
for node in $nodes; do
  while runs "$node"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo "$node does not end; its log is $state/$node.log" >&2; exit 1; }
    sleep 0.2
  done
  rm -f "$state/$node.pid"
done
