# SPDX-License-Identifier: GPL-3.0-only
"""A child process under limits, for foreign code that could use up time and memory."""
