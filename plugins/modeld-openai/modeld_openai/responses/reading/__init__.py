# SPDX-License-Identifier: GPL-3.0-only
"""What a client sends: the body, and the conversation that it makes."""
