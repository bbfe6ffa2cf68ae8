# SPDX-License-Identifier: GPL-3.0-only
"""What ``modeld doctor`` checks: functions that look at a machine and return findings."""
