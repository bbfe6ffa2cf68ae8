# SPDX-License-Identifier: GPL-3.0-only
"""GGUF models on llama.cpp, many requests in one batch. Importing this loads no runtime."""
