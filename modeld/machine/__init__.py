# SPDX-License-Identifier: GPL-3.0-only
"""What this machine has, read from its files: the server decides by it, and doctor shows it."""
