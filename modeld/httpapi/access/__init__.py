# SPDX-License-Identifier: GPL-3.0-only
"""Who may do what: keys, origins, and the gate that every route stands behind."""
