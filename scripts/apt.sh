#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-only
# Installs the Debian packages whose programs the tests need and this machine lacks.
set -eu
PATH="$PATH:/usr/sbin:/sbin"

needed="
promtool        prometheus         checks what GET /metrics writes
chromium        chromium           shows the dashboard to the tests in a browser
nginx           nginx-light        stands in front of modeld in the deployment's tests
openssl         openssl            makes the certificate for that
systemd-analyze systemd            checks the units in deploy/systemd
-               fonts-dejavu-core  writes the text in the browser's pictures
"

is_there() {
  if [ "$1" != - ]; then
    command -v "$1" >/dev/null
  elif command -v dpkg-query >/dev/null; then
    dpkg-query --show --showformat='${db:Status-Status}' "$2" 2>/dev/null | grep -qx installed
  fi
}

set --
while read -r program package what; do
  [ -n "$program" ] || continue
  is_there "$program" "$package" && continue
  echo "apt: $package is missing; it $what"
  set -- "$@" "$package"
done <<TABLE
$needed
TABLE

if [ $# -eq 0 ]; then
  echo "apt: all programs that the tests need from Debian packages are installed"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "apt: error: this is not Debian; install what these packages bring in your own way: $*" >&2
  exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
  as_root="sudo"
fi
echo "apt: installing $*"
$as_root apt-get update -qq
# Runlevel 1 keeps apt from starting the services that come with the packages.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -o Dpkg::Use-Pty=0 --no-install-recommends --yes "$@" </dev/null
