# SPDX-License-Identifier: GPL-3.0-only
from tests.support.log_state import own_log

__all__ = ["own_log"]
