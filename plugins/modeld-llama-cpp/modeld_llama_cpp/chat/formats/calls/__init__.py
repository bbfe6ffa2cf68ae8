# SPDX-License-Identifier: GPL-3.0-only
"""The forms that calls of tools are written in: each is read, and written by a grammar."""
