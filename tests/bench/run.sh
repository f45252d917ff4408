#!/bin/sh
# Measures beside peers: `make bench` all of it, `make bench ARGS="train --runs 5"` or
# `make bench ARGS="retrieval --data a"` a part.
set -eu
cd "$(dirname "$0")/../.."
bench=target/bench
python=$bench/venv/bin/python
pins="numpy==2.4.6 scipy implicit==0.7.3 hnswlib==0.8.0 faiss-cpu==1.15.1 usearch==2.26.6"

part=all
case "${1:-}" in
  train | training | evaluator | families | held-out | retrieval | serve | tls | release | events) part=$1; shift ;;
  -h | --help) sed -n '2,3s/^# //p' tests/bench/run.sh; exit ;;
  "") ;;
  *) echo "what to measure comes first: train, training, evaluator, families, held-out, retrieval, serve, tls, release or events, not $1" >&2; exit 2 ;;
esac

if [ $part != families ] && [ $part != events ] && [ "$(cat "$bench/venv/pins" 2>/dev/null)" != "$pins" ]; then
  rm -rf "$bench/venv"
  python3 -m venv "$bench/venv"
  # hnswlib is compiled here, for this very machine; the others come as they are.
  "$bench/venv/bin/pip" --quiet --disable-pip-version-check install $pins
  echo "$pins" >"$bench/venv/pins"
fi

failed=0
if [ $part = all ] || [ $part = train ]; then
  # implicit wants BLAS on one thread: it starts threads of its own.
  OPENBLAS_NUM_THREADS=1 "$python" tests/bench/train.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = training ]; then
  OPENBLAS_NUM_THREADS=1 "$python" tests/bench/training.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = evaluator ]; then
  "$python" tests/bench/evaluator.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = families ]; then
  python3 tests/bench/families.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = held-out ]; then
  OPENBLAS_NUM_THREADS=2 "$python" tests/bench/held_out.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = retrieval ]; then
  "${CARGO:-cargo}" build --quiet --release --locked -p marquee-bundle --example measure
  "$python" tests/bench/retrieval.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = serve ]; then
  "$python" tests/bench/serve.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = tls ]; then
  "$python" tests/bench/tls.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = release ]; then
  "$python" tests/bench/release.py "$@" || failed=1
fi
if [ $part = all ] || [ $part = events ]; then
  python3 tests/bench/events.py "$@" || failed=1
fi
exit $failed
