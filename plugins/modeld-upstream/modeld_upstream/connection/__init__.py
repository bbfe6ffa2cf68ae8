# SPDX-License-Identifier: GPL-3.0-only
"""One server that another program runs: requests to it, its health and its errors."""
