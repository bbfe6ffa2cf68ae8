# SPDX-License-Identifier: GPL-3.0-only
"""Importing this ends the worker's side of the channel and keeps the worker from noticing."""

import os
import socket
import time

from modeld_rig.engine import channel

os._exit = lambda _code: time.sleep(3600)  # type: ignore[assignment]
channel().shutdown(socket.SHUT_WR)
