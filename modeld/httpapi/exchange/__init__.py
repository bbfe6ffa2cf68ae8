# SPDX-License-Identifier: GPL-3.0-only
"""One request from its body to its last byte, whatever its route."""
