# SPDX-License-Identifier: GPL-3.0-only
"""The commands, each as ``command`` of the module of its name."""
