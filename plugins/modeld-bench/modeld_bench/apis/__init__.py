# SPDX-License-Identifier: GPL-3.0-only
"""The APIs that can be measured, and how their streams are read."""
