"""Kernels need Triton; those under ``interpreted`` run only in its interpreter, in a process of their own."""

import os

# Triton 3.9 asks for this choice to be made; it is what the GPU's compiler does by default.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
collect_ignore_glob = ["compiled/*", "test_*"] if IS_INTERPRETED else ["interpreted/*"]
