# SPDX-License-Identifier: GPL-3.0-only
"""The messages between the server and a worker, and the flow control of generations."""
