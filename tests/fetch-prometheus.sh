#!/bin/sh
# Puts prometheus and promtool into DIR, out of the package of a Debian-like system: fetch-prometheus.sh DIR
set -eu
dir=$1
[ -x "$dir/promtool" ] && [ -x "$dir/prometheus" ] && exit 0
for program in prometheus promtool; do
  installed=$(command -v "$program" || true)
  [ -z "$installed" ] || ln -sf "$installed" "$dir/$program"
done
[ -x "$dir/promtool" ] && [ -x "$dir/prometheus" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "there is no apt-get" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
(cd "$scratch" && apt-get download -qq prometheus >/dev/null)
dpkg-deb -x "$scratch"/prometheus*.deb "$scratch/files"
"$scratch/files/usr/bin/promtool" --version >/dev/null # is it for this machine?
mv "$scratch/files/usr/bin/prometheus" "$scratch/files/usr/bin/promtool" "$dir/"
