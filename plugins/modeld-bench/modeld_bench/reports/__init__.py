# SPDX-License-Identifier: GPL-3.0-only
"""What a run has shown: figures, tables, pictures and files."""
