# SPDX-License-Identifier: GPL-3.0-only
"""What ``modeld doctor`` is told of llama.cpp and this machine."""
