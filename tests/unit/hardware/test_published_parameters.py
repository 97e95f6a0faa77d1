"""Parameter counts from configurations against the figures that publishers print.

``safetensors`` means the count that Hugging Face shows beside a checkpoint. The figures were read or recalled in August
2026; those of DeepSeek, gpt-oss and GLM-4.5 were looked up again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from poolwright.hardware.catalogue import load_catalogue
from poolwright.hardware.model_shape import ModelShape

Count = Callable[[ModelShape], float]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published figure in 10^9 parameters, and where it stands."""

    model: str
    billions: float
    source: str


TOTALS = [
    Published(model="llama-2-7b", billions=6.74, source="meta-llama/Llama-2-7b-hf, safetensors 6.74B"),
    Published(model="llama-2-13b", billions=13.0, source="meta-llama/Llama-2-13b-hf, safetensors 13.0B"),
    Published(model="llama-2-70b", billions=69.0, source="meta-llama/Llama-2-70b-hf, safetensors 69.0B"),
    Published(model="llama-3.1-8b", billions=8.03, source="meta-llama/Llama-3.1-8B, safetensors 8.03B"),
    Published(model="llama-3.1-70b", billions=70.6, source="meta-llama/Llama-3.1-70B, safetensors 70.6B"),
    Published(model="llama-3.1-405b", billions=406.0, source="meta-llama/Llama-3.1-405B, safetensors 406B"),
    Published(model="llama-3.2-1b", billions=1.23, source="Llama 3.2 model card: 1.23B"),
    Published(model="llama-3.2-3b", billions=3.21, source="Llama 3.2 model card: 3.21B"),
    Published(model="llama-3.3-70b", billions=70.6, source="meta-llama/Llama-3.3-70B-Instruct, safetensors 70.6B"),
    Published(model="llama-4-scout", billions=109.0, source="Llama 4 model card: 109B total"),
    Published(model="llama-4-maverick", billions=402.0, source="Llama-4-Maverick-17B-128E, safetensors 402B"),
    Published(model="qwen2.5-0.5b", billions=0.49, source="Qwen2.5 model card: 0.49B"),
    Published(model="qwen2.5-1.5b", billions=1.54, source="Qwen2.5 model card: 1.54B"),
    Published(model="qwen2.5-3b", billions=3.09, source="Qwen2.5 model card: 3.09B"),
    Published(model="qwen2.5-7b", billions=7.61, source="Qwen2.5 model card: 7.61B"),
    Published(model="qwen2.5-14b", billions=14.7, source="Qwen2.5 model card: 14.7B"),
    Published(model="qwen2.5-32b", billions=32.5, source="Qwen2.5 model card: 32.5B"),
    Published(model="qwen2.5-72b", billions=72.7, source="Qwen2.5 model card: 72.7B"),
    Published(model="qwen3-0.6b", billions=0.6, source="Qwen3 model card: 0.6B"),
    Published(model="qwen3-4b", billions=4.0, source="Qwen3 model card: 4.0B"),
    Published(model="qwen3-8b", billions=8.2, source="Qwen3 model card: 8.2B"),
    Published(model="qwen3-14b", billions=14.8, source="Qwen3 model card: 14.8B"),
    Published(model="qwen3-32b", billions=32.8, source="Qwen3 model card: 32.8B"),
    Published(model="qwen3-30b-a3b", billions=30.5, source="Qwen3 model card: 30.5B"),
    Published(model="qwen3-235b-a22b", billions=235.0, source="Qwen3 model card: 235B"),
    Published(model="qwen3-coder-480b-a35b", billions=480.0, source="Qwen3-Coder model card: 480B"),
    Published(model="qwen3-next-80b-a3b", billions=80.0, source="Qwen3-Next model card: 80B"),
    Published(model="qwen3.5-397b-a17b", billions=397.0, source="Qwen3.5 model name: 397B"),
    Published(model="qwen3.5-122b-a10b", billions=122.0, source="Qwen3.5 model name: 122B"),
    Published(model="mistral-7b", billions=7.25, source="mistralai/Mistral-7B-Instruct-v0.3, safetensors 7.25B"),
    Published(model="mistral-nemo-12b", billions=12.2, source="mistralai/Mistral-Nemo-Instruct-2407, 12.2B"),
    Published(model="mistral-small-24b", billions=23.6, source="mistralai/Mistral-Small-24B-2501, 23.6B"),
    Published(model="mistral-large-123b", billions=123.0, source="Mistral Large 2 announcement: 123B"),
    Published(model="mixtral-8x7b", billions=46.7, source="Mixtral of Experts, announcement: 46.7B"),
    Published(model="mixtral-8x22b", billions=141.0, source="Mixtral 8x22B announcement: 141B"),
    Published(model="deepseek-v3", billions=671.0, source="DeepSeek-V3 README_WEIGHTS: 671B without MTP"),
    Published(model="deepseek-r1", billions=671.0, source="DeepSeek-R1 README: 671B"),
    Published(model="kimi-k2", billions=1026.0, source="moonshotai/Kimi-K2-Instruct, safetensors 1.026T"),
    Published(model="gpt-oss-20b", billions=20.91, source="gpt-oss model card, table 1: 20.91B"),
    Published(model="gpt-oss-120b", billions=116.83, source="gpt-oss model card, table 1: 116.83B"),
    Published(model="minimax-text-01", billions=456.0, source="MiniMax-01 report: 456B"),
    Published(model="minimax-m2", billions=230.0, source="MiniMax-M2 model card: 230B"),
    Published(model="gemma-2-2b", billions=2.61, source="google/gemma-2-2b, safetensors 2.61B"),
    Published(model="gemma-2-9b", billions=9.24, source="google/gemma-2-9b, safetensors 9.24B"),
    Published(model="gemma-2-27b", billions=27.2, source="google/gemma-2-27b, safetensors 27.2B"),
    Published(model="gemma-3-1b", billions=1.0, source="google/gemma-3-1b-it, safetensors 1.0B"),
    Published(model="gemma-3-4b", billions=4.3, source="google/gemma-3-4b-it, safetensors 4.30B"),
    Published(model="gemma-3-12b", billions=12.2, source="google/gemma-3-12b-it, safetensors 12.2B"),
    Published(model="gemma-3-27b", billions=27.4, source="google/gemma-3-27b-it, safetensors 27.4B"),
    Published(model="phi-3-mini", billions=3.82, source="microsoft/Phi-3-mini-4k-instruct, safetensors 3.82B"),
    Published(model="phi-3-medium", billions=14.0, source="microsoft/Phi-3-medium-128k-instruct, 14.0B"),
    Published(model="phi-4", billions=14.7, source="microsoft/phi-4, safetensors 14.7B"),
    Published(model="phi-4-mini", billions=3.84, source="microsoft/Phi-4-mini-instruct, safetensors 3.84B"),
    Published(model="phi-3.5-moe", billions=41.9, source="microsoft/Phi-3.5-MoE-instruct, safetensors 41.9B"),
    Published(model="glm-4.5", billions=355.0, source="GLM-4.5 model card: 355B"),
    Published(model="glm-4.5-air", billions=106.0, source="GLM-4.5-Air model card: 106B"),
    Published(model="glm-5", billions=744.0, source="GLM-5 model card: 744B"),
    Published(model="falcon-h1-7b", billions=7.59, source="tiiuae/Falcon-H1-7B-Instruct, safetensors 7.59B"),
    Published(model="jamba-1.5-mini", billions=51.6, source="ai21labs/AI21-Jamba-1.5-Mini, safetensors 51.6B"),
    Published(model="nemotron-h-8b", billions=8.1, source="nvidia/Nemotron-H-8B-Base-8K, safetensors 8.10B"),
    Published(model="nemotron-h-56b", billions=56.0, source="Nemotron-H report: 56B"),
    Published(model="nemotron-3-super-120b-a12b", billions=120.0, source="Nemotron 3 Super model name: 120B"),
    Published(model="nemotron-3-nano-30b-a3b", billions=31.6, source="Nemotron 3 Nano report: 31.6B"),
    Published(model="granite-4.0-h-micro", billions=3.19, source="ibm-granite/granite-4.0-h-micro, 3.19B"),
    Published(model="granite-4.0-h-tiny", billions=6.94, source="ibm-granite/granite-4.0-h-tiny, 6.94B"),
    Published(model="granite-4.0-h-small", billions=32.2, source="ibm-granite/granite-4.0-h-small, 32.2B"),
    Published(model="codellama-34b", billions=33.7, source="codellama/CodeLlama-34b-hf, safetensors 33.7B"),
    Published(model="tinyllama-1.1b", billions=1.10, source="TinyLlama/TinyLlama-1.1B-Chat-v1.0, safetensors 1.10B"),
    Published(model="gpt-j-6b", billions=6.05, source="EleutherAI/gpt-j-6b model card: 6,053,381,344"),
    Published(model="opt-6.7b", billions=6.66, source="facebook/opt-6.7b, checkpoint 6.66B"),
    Published(model="bloom-7.1b", billions=7.07, source="bigscience/bloom-7b1 model card: 7,069,016,064"),
    Published(model="bge-large-en-v1.5", billions=0.335, source="BAAI/bge-large-en-v1.5, safetensors 335M"),
    Published(model="bge-m3", billions=0.568, source="BAAI/bge-m3 model card: 568M"),
    Published(model="modernbert-base", billions=0.149, source="ModernBERT report: 149M"),
    Published(model="modernbert-large", billions=0.395, source="ModernBERT report: 395M"),
    Published(model="qwen3-embedding-0.6b", billions=0.596, source="Qwen/Qwen3-Embedding-0.6B, safetensors 596M"),
]


@pytest.mark.parametrize("published", TOTALS, ids=lambda each: each.model)
def test_total_parameters_are_within_a_percent_of_the_published_figure(published: Published) -> None:
    computed = load_catalogue().model(published.model).parameters_total / 1e9
    assert published.billions == pytest.approx(computed, rel=0.01), published.source


def everything(shape: ModelShape) -> float:
    return float(shape.parameters_active)


def without_input_table(shape: ModelShape) -> float:
    return float(shape.parameters_active - shape.embedding_parameters)


def without_embeddings(shape: ModelShape) -> float:
    return float(shape.parameters_active - shape.embedding_parameters - shape.head_parameters)


# Publishers count the input table and the head of active parameters each in their own way; the row says how.
ACTIVE = [
    ("mixtral-8x7b", 12.9, everything, "Mixtral announcement: 12.9B"),
    ("mixtral-8x22b", 39.0, everything, "Mixtral 8x22B announcement: 39B"),
    ("phi-3.5-moe", 6.6, everything, "Phi-3.5-MoE model card: 6.6B"),
    ("qwen3-235b-a22b", 22.0, everything, "Qwen3 model card: 22B"),
    ("kimi-k2", 32.6, everything, "Kimi K2 report: 32.6B"),
    ("jamba-1.5-mini", 12.0, everything, "Jamba-1.5 report: 12B"),
    ("deepseek-v3", 36.6, without_input_table, "README_WEIGHTS: 36.6B including 0.9B for the output head"),
    ("gpt-oss-20b", 3.61, without_input_table, "gpt-oss model card, table 1: 3.61B, unembedding counted"),
    ("gpt-oss-120b", 5.13, without_input_table, "gpt-oss model card, table 1: 5.13B, unembedding counted"),
    ("nemotron-3-nano-30b-a3b", 3.6, everything, "Nemotron 3 Nano report: 3.6B including embeddings"),
    ("nemotron-3-nano-30b-a3b", 3.2, without_input_table, "Nemotron 3 Nano report: 3.2B active"),
    ("minimax-text-01", 45.9, without_embeddings, "MiniMax-01 report: 45.9B"),
    ("glm-4.5", 32.0, without_embeddings, "GLM-4.5 model card: 32B"),
    ("glm-5", 40.0, without_embeddings, "GLM-5 model card: 40B"),
]


@pytest.mark.parametrize(("model", "billions", "counted", "source"), ACTIVE)
def test_active_parameters_are_within_a_percent_of_the_published_figure(
    model: str, billions: float, counted: Count, source: str
) -> None:
    assert billions == pytest.approx(counted(load_catalogue().model(model)) / 1e9, rel=0.01), source


# Figures of one or two digits carry a rounding (or cutting) error of up to one unit in the last digit.
COARSE = [
    ("llama-4-scout", 17, 1, everything, "Llama 4 model card: 17B"),
    ("llama-4-maverick", 17, 1, everything, "Llama 4 model card: 17B"),
    ("qwen3-30b-a3b", 3.3, 0.1, everything, "Qwen3 model card: 3.3B"),
    ("qwen3-coder-480b-a35b", 35, 1, everything, "Qwen3-Coder model card: 35B"),
    ("qwen3.5-35b-a3b", 3, 1, everything, "Qwen3.5 model name: A3B"),
    ("qwen3.5-122b-a10b", 10, 1, everything, "Qwen3.5 model name: A10B"),
    ("qwen3.5-397b-a17b", 17, 1, everything, "Qwen3.5 model name: A17B"),
    ("qwen3-next-80b-a3b", 3, 1, without_input_table, "Qwen3-Next model card: 3B"),
    ("minimax-m2", 10, 1, without_embeddings, "MiniMax-M2 model card: 10B"),
    ("glm-4.5-air", 12, 1, without_embeddings, "GLM-4.5-Air model card: 12B"),
    ("granite-4.0-h-tiny", 1, 1, everything, "Granite 4.0 announcement: 1B active"),
    ("granite-4.0-h-small", 9, 1, everything, "Granite 4.0 announcement: 9B active"),
    ("nemotron-3-super-120b-a12b", 12, 1, without_input_table, "Nemotron 3 Super model name: A12B"),
    ("qwen3-1.7b", 1.7, 0.1, everything, "Qwen3 model card: 1.7B"),
]


@pytest.mark.parametrize(("model", "billions", "unit", "counted", "source"), COARSE)
def test_active_parameters_are_within_the_last_digit_of_a_coarse_figure(
    model: str, billions: float, unit: float, counted: Count, source: str
) -> None:
    assert billions == pytest.approx(counted(load_catalogue().model(model)) / 1e9, abs=unit), source
