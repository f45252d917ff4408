#!/bin/sh
# Measures `marquee train` beside PyPI implicit: `make bench`, or `make bench ARGS="--runs 5"`.
set -eu
cd "$(dirname "$0")/../.."
venv=target/bench/venv
if [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" --quiet --disable-pip-version-check install numpy scipy implicit==0.7.3
fi
# implicit wants BLAS on one thread: it starts threads of its own.
OPENBLAS_NUM_THREADS=1 exec "$venv/bin/python" tests/bench/train.py "$@"
