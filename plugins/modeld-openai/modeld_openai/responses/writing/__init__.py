# SPDX-License-Identifier: GPL-3.0-only
"""What a client gets: a response as one object, and as events."""
