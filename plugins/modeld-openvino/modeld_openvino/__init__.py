# SPDX-License-Identifier: GPL-3.0-only
"""OpenVINO GenAI as a backend of modeld."""
