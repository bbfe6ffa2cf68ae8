# SPDX-License-Identifier: GPL-3.0-only
"""What is measured: a module for each kind of figure."""
