# SPDX-License-Identifier: GPL-3.0-only
"""Worker processes: started, kept warm, listened to, ended."""
