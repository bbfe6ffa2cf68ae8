# SPDX-License-Identifier: GPL-3.0-only
"""Which host a request goes to, and to which one next."""
