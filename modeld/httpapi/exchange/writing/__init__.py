# SPDX-License-Identifier: GPL-3.0-only
"""What a client gets: a document, a generation in one piece, or a stream of its chunks."""
