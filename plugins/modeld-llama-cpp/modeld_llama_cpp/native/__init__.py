# SPDX-License-Identifier: GPL-3.0-only
"""llama.cpp itself: weights, contexts, adapters, log and memory."""
