# SPDX-License-Identifier: GPL-3.0-only
"""The folder of GGUF files."""
