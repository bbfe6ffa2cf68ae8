# SPDX-License-Identifier: GPL-3.0-only
"""``/v1/responses``: its input items, its responses and events, and the store that keeps them."""
