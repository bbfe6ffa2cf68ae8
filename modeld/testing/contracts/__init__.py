# SPDX-License-Identifier: GPL-3.0-only
"""The contracts of all kinds of plugins but backends, which have a package of their own."""
