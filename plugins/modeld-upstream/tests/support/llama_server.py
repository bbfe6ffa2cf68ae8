# SPDX-License-Identifier: GPL-3.0-only
"""llama.cpp's own server, from a wheel that has it as a library.

Usage: ``llama_server.py MODEL PORT CONTEXT SLOTS``. It ends with SIGTERM.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp

_, model, port, context, slots = sys.argv
params = xllamacpp.CommonParams()
params.model.path = model
params.hostnames = ["127.0.0.1"]
params.use_jinja = True  # as the program has it
params.endpoint_slots = True
params.port = int(port)
params.n_ctx = int(context)
params.n_parallel = int(slots)
params.cpuparams.n_threads = 1  # two would spin in vain where others compute
params.cpuparams_batch.n_threads = 1
print(f"loading {model}", file=sys.stderr, flush=True)
server = xllamacpp.Server(params)
print("ready", file=sys.stderr, flush=True)
signal.pause()
