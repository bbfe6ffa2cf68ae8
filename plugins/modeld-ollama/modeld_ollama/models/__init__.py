# SPDX-License-Identifier: GPL-3.0-only
"""``/api/tags``, ``/api/ps``, ``/api/show`` and the verbs that change what models there are."""
