# SPDX-License-Identifier: GPL-3.0-only
"""JSON schemas of requests, written as schemas that llguidance keeps to exactly."""
