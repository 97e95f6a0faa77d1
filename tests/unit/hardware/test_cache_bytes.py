"""Bytes of KV cache and state against arithmetic by hand; 16-bit values take 2 bytes."""

import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.hardware.model_shape import AttentionKind

BYTES = 2

# layers x KV heads x (key width + value width) x 2 bytes
PER_TOKEN = [
    ("llama-3.1-8b", 32 * 8 * (128 + 128) * BYTES),  # 131,072
    ("llama-3.1-70b", 80 * 8 * (128 + 128) * BYTES),  # 327,680
    ("llama-3.1-405b", 126 * 8 * (128 + 128) * BYTES),  # 516,096
    ("llama-3.2-1b", 16 * 8 * (64 + 64) * BYTES),  # 32,768
    ("llama-2-7b", 32 * 32 * (128 + 128) * BYTES),  # every head keeps its own: 524,288
    ("qwen2.5-14b", 48 * 8 * (128 + 128) * BYTES),  # 196,608, as docs of a published H100 sweep print it
    ("qwen3-235b-a22b", 94 * 4 * (128 + 128) * BYTES),  # 192,512
    ("mixtral-8x7b", 32 * 8 * (128 + 128) * BYTES),  # experts keep nothing: 131,072
    ("deepseek-v3", 61 * (512 + 64) * BYTES),  # MLA, one vector and one rotary key: 70,272
    ("kimi-k2", 61 * (512 + 64) * BYTES),  # heads do not matter to MLA: 70,272
    ("deepseek-v3.2", 61 * (512 + 64 + 128) * BYTES),  # and one key of the indexer: 85,888
    ("glm-5", 78 * (512 + 64 + 128) * BYTES),  # 109,824
    ("qwen3-next-80b-a3b", 12 * 2 * (256 + 256) * BYTES),  # only every fourth of 48 layers: 24,576
    ("minimax-text-01", 10 * 8 * (128 + 128) * BYTES),  # only every eighth of 80 layers: 40,960
    ("nemotron-h-8b", 4 * 8 * (128 + 128) * BYTES),  # four attention layers of 52: 16,384
    ("jamba-1.5-mini", 4 * 8 * (128 + 128) * BYTES),  # every eighth of 32 layers: 16,384
    ("granite-4.0-h-small", 4 * 8 * (128 + 128) * BYTES),  # four of 40 layers: 16,384
    ("falcon-h1-7b", 44 * 2 * (128 + 128) * BYTES),  # attention beside every mixer: 45,056
    ("bge-m3", 0),  # an encoder reads a prompt at once
    ("modernbert-base", 0),
]


@pytest.mark.parametrize(("model", "expected"), PER_TOKEN)
def test_cache_bytes_of_one_more_token_equal_hand_arithmetic(model: str, expected: int) -> None:
    groups = load_catalogue().model(model).groups
    assert expected == sum(group.count * group.attention.kv_values_per_token for group in groups) * BYTES


# (model, context, values kept by full layers and windows, constant state)
PER_SEQUENCE = [
    # gpt-oss: 18 full and 18 layers with a window of 128, 8 heads x (64 + 64)
    ("gpt-oss-120b", 10_000, 18 * 1024 * 10_000 + 18 * 1024 * 128, 0),
    ("gpt-oss-120b", 100, 36 * 1024 * 100, 0),  # shorter than the window: nothing is dropped
    # Gemma 3 27B: layers 6, 12 ... 60 of 62 are full, 52 have a window of 1024; 16 heads x (128 + 128)
    ("gemma-3-27b", 8_192, 10 * 4096 * 8_192 + 52 * 4096 * 1_024, 0),
    # Gemma 2 9B: 21 full, 21 with a window of 4096; 8 heads x (256 + 256)
    ("gemma-2-9b", 8_192, 21 * 4096 * 8_192 + 21 * 4096 * 4_096, 0),
    # Llama 4 Scout: every fourth of 48 layers is full, 36 see chunks of 8192; 8 heads x (128 + 128)
    ("llama-4-scout", 100_000, 12 * 2048 * 100_000 + 36 * 2048 * 8_192, 0),
    # Qwen3-Next: 36 delta layers keep 32 heads x 128 x 128 and 3 columns of 2 x 16 x 128 + 32 x 128 convolved channels
    ("qwen3-next-80b-a3b", 1_000, 12 * 1024 * 1_000, 36 * (32 * 128 * 128 + 3 * (2 * 2048 + 4096))),
    # MiniMax-Text-01: 70 lightning layers keep one 128 x 128 matrix for each of 64 heads
    ("minimax-text-01", 1_000, 10 * 2048 * 1_000, 70 * 64 * 128 * 128),
    # Nemotron-H 8B: 24 Mamba-2 layers of 128 heads x 64 x 128, and 3 columns of 8192 + 2 x 8 x 128 channels
    ("nemotron-h-8b", 1_000, 4 * 2048 * 1_000, 24 * (128 * 64 * 128 + 3 * (8192 + 2048))),
    # Jamba: 28 Mamba layers of 8192 channels x 16, and 3 columns of 8192
    ("jamba-1.5-mini", 1_000, 4 * 2048 * 1_000, 28 * (8192 * 16 + 3 * 8192)),
    ("bge-large-en-v1.5", 512, 0, 0),
]


@pytest.mark.parametrize(("model", "context", "cached", "state"), PER_SEQUENCE)
def test_values_of_a_sequence_equal_hand_arithmetic(model: str, context: int, cached: int, state: int) -> None:
    assert cached + state == load_catalogue().model(model).kv_values_per_sequence(context)


def test_gpt_oss_alternates_full_and_windowed_layers() -> None:
    groups = load_catalogue().model("gpt-oss-20b").groups
    assert {AttentionKind.FULL: 12, AttentionKind.SLIDING: 12} == {
        group.attention.kind: group.count for group in groups
    }


def test_deepseek_starts_with_three_dense_layers() -> None:
    groups = load_catalogue().model("deepseek-v3").groups
    assert [(3, 0), (58, 256)] == [(group.count, group.feed_forward.experts) for group in groups]


def test_maverick_alternates_dense_and_sparse_layers() -> None:
    groups = load_catalogue().model("llama-4-maverick").groups
    experts = {0: 0, 128: 0}
    for group in groups:
        experts[group.feed_forward.experts] += group.count
    assert {0: 24, 128: 24} == experts
