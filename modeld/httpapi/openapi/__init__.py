# SPDX-License-Identifier: GPL-3.0-only
"""The OpenAPI document, made from the route table and from the models of its bodies."""
