"""Flags are typed and bounded; what makes no sense ends the start with a sentence."""

import re
import shlex
import subprocess
import sys
import time
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from poolwright.engine.server.settings import Settings, parser, settings_of

OPERATOR_FLAGS = [
    "--model=/models/llama",
    "--served-model-name=meta-llama/Llama-3.1-8B-Instruct",
    "--revision=0e9e39f249a16976918f6564b8830bc894c89659",
    "--port=8000",
    "--weight-format=w4a16",
    "--kv-format=fp8",
    "--tensor-parallel-size=2",
    "--max-num-seqs=48",
    "--max-num-batched-tokens=4096",
    "--max-queued-requests=96",
    "--drain-seconds=120",
]


def test_what_the_operator_passes_is_understood() -> None:
    settings = settings_of(OPERATOR_FLAGS)
    assert ("meta-llama/Llama-3.1-8B-Instruct",) == settings.names
    assert ("w4a16", "fp8", 2) == (settings.weight_format, settings.cache_format, settings.tensor_parallel_size)
    assert (48, 4096, 96) == (settings.max_num_seqs, settings.max_num_batched_tokens, settings.max_queued_requests)


def test_what_people_pass_to_vllm_is_understood() -> None:
    settings = settings_of(
        shlex.split(
            "--model m --served-model-name a b --host :: --dtype half --kv-cache-dtype fp8_e4m3 --max-model-len 8192 "
            "--max-num-seqs 8 --max-num-batched-tokens 512 --gpu-memory-utilization 0.85 --tensor-parallel-size 1 "
            "--quantization fp8 --seed 7"
        )
    )
    assert (("a", "b"), "float16", "fp8") == (settings.names, settings.activation_dtype, settings.cache_format)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--max-num-seqs=0"], "--max-num-seqs=0: Input should be greater than or equal to 1"),
        (["--max-num-seqs=many"], "--max-num-seqs=many: Input should be a valid integer"),
        (["--gpu-memory-utilization=1.5"], "--gpu-memory-utilization=1.5: Input should be less than or equal to 1"),
        (["--drain-seconds=nan"], "--drain-seconds=nan: Input should be"),
        (["--port=70000"], "--port=70000: Input should be less than or equal to 65535"),
        (["--weight-format=int3"], "--weight-format=int3: must be one of auto, fp32, bf16"),
        (["--dtype=double"], "--dtype=double: must be one of auto, half"),
        (["--quantization=magic"], "--quantization=magic: must be one of none, fp8"),
        (["--kv-format=int2"], "--kv-format=int2: must be one of auto, fp32"),
        (["--kv-cache-dtype=int2"], "--kv-cache-dtype=int2: must be one of auto, float32"),
        (
            ["--weight-format=bf16", "--dtype=half"],
            "--dtype=half and --weight-format=bf16 contradict each other: bf16 is bfloat16; give one of the two flags",
        ),
        (["--weight-format=fp8", "--quantization=awq"], "--quantization=awq and --weight-format=fp8 contradict"),
        (["--kv-format=bf16", "--kv-cache-dtype=fp8"], "--kv-cache-dtype=fp8 and --kv-format=bf16 contradict"),
        (["--admin-port=9"], "--admin-port and --admin-token-file: give both"),
        (["--port=9", "--admin-port=9", "--admin-token-file=t"], "--admin-port=9: must differ from --port"),
        (["--max-num=3"], "unrecognized arguments: --max-num=3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nonsense_is_refused_with_flag_value_and_what_would_be_right(
    flags: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        settings_of(["--model=m", *flags])
    assert 2 == ended.value.code
    assert expected in capsys.readouterr().err


def test_a_model_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings_of([])
    assert "required: --model" in capsys.readouterr().err


def test_both_spellings_may_say_the_same() -> None:
    settings = settings_of(
        ["--model=m", "--weight-format=bf16", "--dtype=bfloat16", "--kv-format=fp8", "--kv-cache-dtype=fp8"]
    )
    assert ("bfloat16", "fp8") == (settings.activation_dtype, settings.cache_format)


def test_every_setting_is_a_flag_with_an_explanation() -> None:
    listed = set(re.findall(r"^  (--[a-z-]+)", parser().format_help(), flags=re.MULTILINE))
    assert {f"--{name.replace('_', '-')}" for name in Settings.model_fields} <= listed
    assert [] == [name for name, info in Settings.model_fields.items() if not info.description]


def test_help_needs_no_torch() -> None:
    started = time.monotonic()
    code = (
        "import sys; sys.argv = ['poolwright-engine', '--help']\n"
        "from poolwright.engine.server.main import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert ended.code == 0\n"
        "assert not {'torch', 'aiohttp', 'tokenizers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert time.monotonic() - started < 20


def test_the_command_that_the_operator_starts_is_installed_with_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert "poolwright.engine.server.main:main" == project["scripts"]["poolwright-engine"]
    assert callable(EntryPoint("poolwright-engine", project["scripts"]["poolwright-engine"], "console_scripts").load())
