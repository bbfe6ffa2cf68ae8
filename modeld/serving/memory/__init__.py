# SPDX-License-Identifier: GPL-3.0-only
"""The budget of one server beside other programs: what it is, what moves it, who else has one."""
