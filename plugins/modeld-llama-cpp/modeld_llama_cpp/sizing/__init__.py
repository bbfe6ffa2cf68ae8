# SPDX-License-Identifier: GPL-3.0-only
"""What a model needs: from its header to its shape, and with its options to bytes. No runtime."""
