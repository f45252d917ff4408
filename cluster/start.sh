#!/bin/sh
# Starts every node that does not run. The first start also trains and publishes a model.
. "$(dirname "$0")/env.sh"
if [ ! -x "$marquee" ]; then
  echo "there is no $marquee: run \`make build\` first" >&2
  exit 1
fi
mkdir -p "$state"

if [ ! -d "$state/bundles" ]; then
  # Generated films, unless MARQUEE_DATA names a directory with other data.
  data=${MARQUEE_DATA:-$state/data}
  [ -d "$data" ] || "$marquee" demo --write-data "$data"
  # All three bundles or none: a start that was interrupted begins again.
  rm -rf "$state/training"
  "$marquee" demo --train-only "$state/training" --shards 4 --data "$data"
  mv "$state/training" "$state/bundles"
fi

if [ ! -f "$certs/developer.pem" ]; then
  # An authority of this cluster's own, and a certificate for each node and for its users.
  for node in $nodes; do
    set -- "$@" --node "$node:${node%-*}=127.0.0.1,localhost"
  done
  "$marquee" certs --out "$certs" --trust-domain local "$@" \
    --user operator:operator,publisher,admin --user caller:caller,events \
    --user developer:operator,publisher,admin,caller,events >/dev/null
fi

for node in $nodes; do
  runs "$node" && continue
  "$marquee" serve --config "$here/$node.toml" >>"$state/$node.log" 2>&1 &
  echo $! >"$state/$node.pid"
  echo "started $node"
done

# Waits until every node of these URLs, joined by commas, says that it serves.
wait_for() {
  "$marquee" ctl --endpoint "$1" health --wait-seconds 30 || {
    echo "gave up waiting; the logs are in $state" >&2
    exit 1
  }
}

wait_for $control
if ! ctl models --json | grep -q films; then
  ctl publish "$state/bundles/v1"
  ctl rollout start --surface default --candidate films@1
fi
wait_for https://127.0.0.1:50051,https://127.0.0.1:50052
ctl status --wait --timeout 30
cat <<TRY

The cluster answers on 127.0.0.1:50051 and :50052, by TLS. To try:
  export MARQUEE_TLS_CA=$MARQUEE_TLS_CA MARQUEE_CERT=$MARQUEE_CERT MARQUEE_KEY=$MARQUEE_KEY
  grpcurl -cacert $certs/ca.pem -cert $certs/caller.pem -key $certs/caller.key -d '{"user_id": "u1", "count": 5}' 127.0.0.1:50051 marquee.v1.RecommenderService/Recommend
  export MARQUEE_ENDPOINT=$control
  $marquee ctl publish $state/bundles/v2
  $marquee ctl rollout start --candidate films@2 --steps 1%:30s,10%:30s,50%:30s,100%:0s --allow-no-traffic
  $marquee ctl rollout watch default-2
TRY
