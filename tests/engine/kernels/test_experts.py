import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("triton")

from poolwright.engine.kernels.experts import routes


@given(
    tokens=st.integers(1, 40),
    choices=st.integers(1, 4),
    experts=st.integers(4, 12),
    seed=st.integers(0, 999),
)
def test_every_choice_is_in_one_tile_of_its_expert(tokens: int, choices: int, experts: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.stack([torch.randperm(experts, generator=draw)[:choices] for _ in range(tokens)])
    result = routes(chosen, experts, 16)
    slots = result.slots.view(-1, 16)
    assert result.experts.shape[0] == slots.shape[0]
    seen = []
    for expert, tile in zip(result.experts.tolist(), slots.tolist(), strict=True):
        used = [slot for slot in tile if slot < tokens * choices]
        assert (expert == -1) == (used == [])
        assert all(expert == int(chosen.flatten()[slot]) for slot in used)
        seen += used
    assert list(range(tokens * choices)) == sorted(seen)
