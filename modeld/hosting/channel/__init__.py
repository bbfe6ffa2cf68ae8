# SPDX-License-Identifier: GPL-3.0-only
"""What the server and a worker say to each other, and how much of it is under way."""
