#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-only
# Installs, checks and tests the JavaScript of the plugins: js.sh [install|test]; both without a word.
set -eu
cd "$(dirname "$0")/.."

oldest=20
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  echo "js: error: no node and npm; install Node.js $oldest or later" >&2
  exit 1
fi
major=$(node --print 'process.versions.node.split(".")[0]')
if [ "$major" -lt "$oldest" ]; then
  echo "js: error: this is Node.js $(node --version); $oldest or later is needed" >&2
  exit 1
fi

for package in plugins/*/package.json; do
  folder=$(dirname "$package")
  if [ "${1:-install}" = install ]; then
    echo "js: npm ci in $folder"
    npm --prefix "$folder" ci --no-audit --no-fund --loglevel=error
  fi
  if [ "${1:-test}" = test ]; then
    echo "js: npm run check and npm test in $folder"
    npm --prefix "$folder" run --silent check
    npm --prefix "$folder" test --silent
  fi
done
