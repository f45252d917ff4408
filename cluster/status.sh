#!/bin/sh
# Prints which processes run, and the cluster's status.
. "$(dirname "$0")/env.sh"
for node in $nodes; do
  if runs "$node"; then echo "$node runs as $(cat "$state/$node.pid")"; else echo "$node does not run"; fi
done
ctl status
