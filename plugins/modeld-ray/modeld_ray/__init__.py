# SPDX-License-Identifier: GPL-3.0-only
"""modeld on many machines, carried by Ray Serve.

The ingress is the same HTTP application as that of one machine, over a service
(:mod:`modeld_ray.cluster_service`) that hands each request to one of the *hosts*: replicas, each
with the models, the budget and the workers of one node or GPU. What Ray calls alpha is imported in
``router.py`` and ``replica.py`` only.
"""
