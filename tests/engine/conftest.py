"""The engine's tests run where torch is (``make test-engine``); elsewhere they are skipped, with a reason."""

import importlib.util
from pathlib import Path

import pytest

HAS_TORCH = importlib.util.find_spec("torch") is not None


class WithoutTorch(pytest.Module):
    """A file of tests that is not imported, because it would need torch."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip("needs torch: make test-engine", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    return None if HAS_TORCH else WithoutTorch.from_parent(parent, path=module_path)


if HAS_TORCH:
    import torch

    torch.set_num_threads(1)
