"""Kernels need Triton; those under ``interpreted`` run only in its interpreter, in a process of their own."""

import importlib.util
import os

# Triton 3.9 asks for this choice to be made; it is what the GPU's compiler does by default.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = importlib.util.find_spec("triton") is not None
collect_ignore_glob = (["compiled/*", "test_*"] if IS_INTERPRETED else ["interpreted/*"]) if HAS_TRITON else ["*"]
