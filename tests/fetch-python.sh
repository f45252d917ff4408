#!/bin/sh
# Makes a Python environment with the packages that tests call as other programs: fetch-python.sh DIR PACKAGE...
set -eu
dir=$1
shift
command -v python3 >/dev/null || { echo "python3 is not there" >&2; exit 1; }
python3 -m venv "$dir" >/dev/null
"$dir/bin/pip" --quiet --disable-pip-version-check --timeout 20 --retries 1 install "$@" || { rm -rf "$dir"; exit 1; }
