# SPDX-License-Identifier: GPL-3.0-only
"""What this machine has, as its files say: the basis of the server's decisions and of doctor."""
