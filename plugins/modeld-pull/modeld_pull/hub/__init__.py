# SPDX-License-Identifier: GPL-3.0-only
"""What is on the hub, and who may have it."""
