# SPDX-License-Identifier: GPL-3.0-only
"""What is brought, and the folder in which it becomes a file."""
