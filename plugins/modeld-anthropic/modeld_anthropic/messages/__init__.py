# SPDX-License-Identifier: GPL-3.0-only
"""``/v1/messages``: bodies, what they mean to the service, and the responses."""
