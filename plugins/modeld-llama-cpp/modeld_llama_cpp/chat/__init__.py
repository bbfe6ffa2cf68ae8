# SPDX-License-Identifier: GPL-3.0-only
"""Chats to prompts, by a model's template."""
