#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-only
# Installs the Debian packages that the tests need, if they are not there yet.
set -eu

# prometheus brings promtool, which checks the page at /metrics.
packages="prometheus"

missing=""
for package in $packages; do
  dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null \
    | grep -qx installed || missing="$missing $package"
done
if [ -z "$missing" ]; then
  echo "apt: $packages: already installed"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "apt: error: this is not Debian; install the tools of$missing (promtool) in your own way" >&2
  exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
  as_root="sudo"
fi
echo "apt: installing$missing"
$as_root apt-get update -qq
# Runlevel 1 keeps apt from starting the services that come with the packages.
$as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -o Dpkg::Use-Pty=0 --no-install-recommends --yes $missing </dev/null
promtool --version 2>&1 | head -n 1
