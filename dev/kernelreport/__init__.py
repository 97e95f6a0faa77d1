"""Compiles the engine's kernels for GPUs that need not be there, and reads their machine code."""
