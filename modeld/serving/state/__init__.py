# SPDX-License-Identifier: GPL-3.0-only
"""What is known of the models in use: entries, instances, requests, bytes."""
