"""Times the engine's kernels and their peers on a GPU; ``bench/kernels.py`` is the way in."""
