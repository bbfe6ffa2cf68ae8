# SPDX-License-Identifier: GPL-3.0-only
"""What goes over the wire to a server of another make, and what comes back."""
