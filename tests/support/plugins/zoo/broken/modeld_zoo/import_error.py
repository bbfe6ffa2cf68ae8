# SPDX-License-Identifier: GPL-3.0-only
raise ImportError("libgpu.so.7 is not installed")
