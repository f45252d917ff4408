#!/bin/sh
# Starts every node that does not run, and on the first start trains and publishes a model.
. "$(dirname "$0")/env.sh"
mkdir -p "$state"

if [ ! -d "$state/bundles/v2" ]; then
  "$marquee" demo --train-only "$state/bundles" --shards 4
fi

for node in $nodes; do
  runs "$node" && continue
  "$marquee" serve --config "$here/$node.toml" >>"$state/$node.log" 2>&1 &
  echo $! >"$state/$node.pid"
  echo "started $node"
done

# Waits until COMMAND succeeds, at most 30 s.
wait_for() {
  what=$1; shift
  tries=150
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
      echo "gave up waiting for $what; the logs are in $state" >&2
      "$@" || exit 1
    fi
    sleep 0.2
  done
}

wait_for "control" ctl status
if ! ctl models | grep -q films; then
  ctl publish "$state/bundles/v1"
  ctl rollout start --surface default --candidate films@1
fi
for port in 50051 50052; do
  wait_for "the router on port $port" "$marquee" load --endpoint "http://127.0.0.1:$port" --rate 10 --duration 1s --fail-on-error
done
ctl status
cat <<TRY

The cluster answers on 127.0.0.1:50051 and :50052. To try:
  grpcurl -plaintext -d '{"user_id": "1", "count": 5}' 127.0.0.1:50051 marquee.v1.RecommenderService/Recommend
  export MARQUEE_ENDPOINT=$control
  $marquee ctl publish $state/bundles/v2
  $marquee ctl rollout start --candidate films@2 --steps 1%:30s,10%:30s,50%:30s,100%:0s
  $marquee ctl rollout watch default-2
TRY
