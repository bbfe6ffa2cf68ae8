# SPDX-License-Identifier: GPL-3.0-only
"""What each kind of plugin has to do, but for backends, whose contract has a room of its own."""
