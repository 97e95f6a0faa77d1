"""Makes small random checkpoints in the layout of Hugging Face: for tests, the demo and benchmarks.

The weights are noise, seeded; the files are real: ``config.json``, safetensors (one file or shards with an index),
``tokenizer.json`` and ``tokenizer_config.json`` with a chat template. ``python -m poolwright.engine.tiny DIR``.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

ARCHITECTURES: Final = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "mixtral": "MixtralForCausalLM",
}
"""``model_type`` and the class that Hugging Face names for it."""
SPECIAL_TOKENS: Final = ("<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS: Final = (
    "the pool serves the requests that wait in the queue",
    "a replica is started when demand is higher than what the others can serve",
    "tokens are generated one after another and each of them reads all weights",
)
"""What the tokenizer's merges are learned from."""
_BYTES: Final = 256
_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyShape:
    """What to make; the defaults are the smallest model in which every part differs from every other.

    ``tokens`` is the size of the vocabulary, at least 260; ``expert_width`` counts for the sparse architectures.
    """

    architecture: str = "llama"
    layers: int = 2
    hidden: int = 64
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    width: int = 96
    tokens: int = 320
    experts: int = 4
    experts_per_token: int = 2
    expert_width: int = 48
    is_tied: bool = False
    dtype: str = "float32"
    max_positions: int = 512


def config_of(shape: TinyShape) -> dict[str, object]:
    """Return the ``config.json`` of a shape."""
    if shape.architecture not in ARCHITECTURES:
        raise ValueError(f"architecture {shape.architecture} is none of {', '.join(ARCHITECTURES)}")
    config: dict[str, object] = {
        "architectures": [ARCHITECTURES[shape.architecture]],
        "model_type": shape.architecture,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.width,
        "vocab_size": shape.tokens,
        "max_position_embeddings": shape.max_positions,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": shape.is_tied,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": shape.dtype,
    }
    if shape.architecture == "qwen3_moe":
        config |= {
            "num_experts": shape.experts,
            "num_experts_per_tok": shape.experts_per_token,
            "moe_intermediate_size": shape.expert_width,
            "norm_topk_prob": True,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
        }
    if shape.architecture == "mixtral":
        config |= {
            "num_local_experts": shape.experts,
            "num_experts_per_tok": shape.experts_per_token,
            "intermediate_size": shape.expert_width,
            "sliding_window": None,
        }
    return config


def tensor_shapes(shape: TinyShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each tensor, in the order in which they are drawn."""
    yield "model.embed_tokens.weight", (shape.tokens, shape.hidden)
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", (shape.hidden,)
        yield from _attention_shapes(shape, f"{prefix}.self_attn")
        yield f"{prefix}.post_attention_layernorm.weight", (shape.hidden,)
        yield from _feed_forward_shapes(shape, prefix)
    yield "model.norm.weight", (shape.hidden,)
    if not shape.is_tied:
        yield "lm_head.weight", (shape.tokens, shape.hidden)


def _attention_shapes(shape: TinyShape, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    for name, outputs in (("q", queries), ("k", keys), ("v", keys)):
        yield f"{prefix}.{name}_proj.weight", (outputs, shape.hidden)
        if shape.architecture == "qwen2":
            yield f"{prefix}.{name}_proj.bias", (outputs,)
    yield f"{prefix}.o_proj.weight", (shape.hidden, queries)
    if shape.architecture in ("qwen3", "qwen3_moe"):
        yield f"{prefix}.q_norm.weight", (shape.head_dim,)
        yield f"{prefix}.k_norm.weight", (shape.head_dim,)


def _feed_forward_shapes(shape: TinyShape, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide, narrow = (shape.expert_width, shape.hidden), (shape.hidden, shape.expert_width)
    match shape.architecture:
        case "qwen3_moe":
            yield f"{prefix}.mlp.gate.weight", (shape.experts, shape.hidden)
            for expert in range(shape.experts):
                yield f"{prefix}.mlp.experts.{expert}.gate_proj.weight", wide
                yield f"{prefix}.mlp.experts.{expert}.up_proj.weight", wide
                yield f"{prefix}.mlp.experts.{expert}.down_proj.weight", narrow
        case "mixtral":
            yield f"{prefix}.block_sparse_moe.gate.weight", (shape.experts, shape.hidden)
            for expert in range(shape.experts):
                yield f"{prefix}.block_sparse_moe.experts.{expert}.w1.weight", wide
                yield f"{prefix}.block_sparse_moe.experts.{expert}.w2.weight", narrow
                yield f"{prefix}.block_sparse_moe.experts.{expert}.w3.weight", wide
        case _:
            yield f"{prefix}.mlp.gate_proj.weight", (shape.width, shape.hidden)
            yield f"{prefix}.mlp.up_proj.weight", (shape.width, shape.hidden)
            yield f"{prefix}.mlp.down_proj.weight", (shape.hidden, shape.width)


def random_tensors(shape: TinyShape, seed: int) -> dict[str, Tensor]:
    """Return weights that keep activations near one: norms around 1, matrices with 1/sqrt(inputs), unit embeddings."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, size in tensor_shapes(shape):
        noise = torch.randn(size, generator=generator)
        if name.endswith("norm.weight"):
            noise = 1.0 + 0.1 * noise
        elif name.endswith("bias"):
            noise = 0.1 * noise
        elif name != "model.embed_tokens.weight" or shape.is_tied:
            noise = noise * size[-1] ** -0.5
        tensors[name] = noise.to(_DTYPES[shape.dtype])
    return tensors


def tokenizer_of(tokens: int) -> Tokenizer:
    """Return a byte-level tokenizer that knows every text, with at most so many tokens."""
    if tokens < _BYTES + len(SPECIAL_TOKENS):
        raise ValueError(
            f"tokens {tokens} must be at least {_BYTES + len(SPECIAL_TOKENS)}: every byte, and the special"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def write_tensors(directory: Path, tensors: Mapping[str, Tensor], *, shards: int = 1) -> None:
    """Write tensors as ``model.safetensors``, or as so many shards with an index."""
    if shards == 1:
        save_file(dict(tensors), directory / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        held = names[shard::shards]
        save_file({name: tensors[name] for name in held}, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(held, file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def write_checkpoint(directory: Path, shape: TinyShape, *, seed: int = 0, shards: int = 1) -> None:
    """Write a whole checkpoint into a directory, made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config_of(shape), indent=1))
    write_tensors(directory, random_tensors(shape, seed), shards=shards)
    tokenizer_of(shape.tokens).save(str(directory / "tokenizer.json"))
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL_TOKENS[0],
        "eos_token": SPECIAL_TOKENS[1],
        "model_max_length": shape.max_positions,
        "chat_template": CHAT_TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=1))


def main() -> None:
    """Write a checkpoint as the command line says."""
    parser = argparse.ArgumentParser(prog="poolwright.engine.tiny", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="llama")
    parser.add_argument("--dtype", choices=sorted(_DTYPES), default="float32")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--max-positions", type=int, default=512)
    parser.add_argument("--tied", action="store_true", help="one table for embeddings and output head")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    arguments = parser.parse_args()
    shape = TinyShape(
        architecture=arguments.architecture,
        dtype=arguments.dtype,
        layers=arguments.layers,
        max_positions=arguments.max_positions,
        is_tied=arguments.tied,
    )
    write_checkpoint(arguments.directory, shape, seed=arguments.seed, shards=arguments.shards)


if __name__ == "__main__":
    main()
