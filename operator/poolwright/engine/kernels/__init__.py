"""Triton kernels for NVIDIA GPUs: quantised matrix products, attention over paged cache, and what is fused around them.

Importing this package imports neither torch nor triton; its modules do. Figures and limits are in ``docs/kernels.md``.
"""
