# SPDX-License-Identifier: GPL-3.0-only
"""Brings models from Hugging Face or a URL into the models folder, whole and verified."""
