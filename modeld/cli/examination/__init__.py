# SPDX-License-Identifier: GPL-3.0-only
"""What ``modeld doctor`` looks at, one module for each subject."""
