"""Compiles a kernel for an architecture without a GPU, and counts what the machine code holds."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

WARP: Final = 32
"""Threads of a warp."""
SHARED_BYTES: Final = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}
"""Most shared memory of a program by compute capability (NVIDIA, CUDA C++ programming guide, table of capabilities)."""
TENSOR_CORES: Final = ("HMMA", "IMMA", "QMMA", "HGMMA", "IGMMA", "QGMMA", "UTCHMMA", "UTCIMMA", "UTCQMMA")
"""How the machine code names tensor-core instructions: three each of mma.sync, wgmma, tcgen05."""
POINTER_BYTES: Final = 16
"""Alignment of pointers and sizes that launches guarantee, as in Triton's specialisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One compilation: a kernel, argument types (``*fp16``, ``i32``; ``*`` and sizes aligned), constants, warps."""

    name: str
    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    unaligned: frozenset[str] = frozenset()
    warps: int = 4
    stages: int = 3
    weights: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCode:
    """What was counted.

    ``registers`` a thread; ``stack_bytes`` a thread, 0 where nothing spills; ``shared_bytes`` a program; ``loop`` the
    instructions of the largest loop with tensor cores; ``instructions_per_weight`` threads' instructions of that loop
    for each weight it reads.
    """

    capability: int
    registers: int
    stack_bytes: int
    shared_bytes: int
    instructions: tuple[str, ...]
    loop: tuple[str, ...]
    instructions_per_weight: float

    @property
    def tensor_instructions(self) -> tuple[str, ...]:
        """Instructions of the tensor cores."""
        return tuple(text for text in self.instructions if _operation(text).startswith(TENSOR_CORES))

    @property
    def reads_weights_from_registers(self) -> bool:
        """Whether every warp-group instruction's first operand is a register, not a descriptor of shared memory."""
        operands = [text.split(None, 1)[1].split(",") for text in self.tensor_instructions]
        return bool(operands) and all(re.fullmatch(r"\s*R\d+\S*\s*", parts[1]) is not None for parts in operands)

    def count(self, *operations: str) -> int:
        """Return how many instructions of the loop begin with one of the names."""
        return sum(_operation(text).startswith(operations) for text in self.loop)


def compiled(variant: Variant, capability: int) -> MachineCode:
    """Return the machine code of a variant for a compute capability, such as 90."""
    names = list(variant.kernel.arg_names)
    signature = {name: "constexpr" if name in variant.constants else variant.types[name] for name in names}
    aligned = [
        index
        for index, name in enumerate(names)
        if name not in variant.constants and name not in variant.unaligned and signature[name] != "fp32"
    ]
    source = ASTSource(
        fn=variant.kernel,
        signature=signature,
        constexprs={(names.index(name),): value for name, value in variant.constants.items()},
        attrs={(index,): [["tt.divisibility", POINTER_BYTES]] for index in aligned},
    )
    options = {"num_warps": variant.warps, "num_stages": variant.stages}
    result = triton.compile(source, target=GPUTarget("cuda", capability, WARP), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        text = _tool("nvdisasm", "-c", file.name)
        usage = _tool("cuobjdump", "--dump-resource-usage", file.name)
    instructions, loop = parsed(text)
    threads = result.metadata.num_warps * WARP
    return MachineCode(
        capability=capability,
        registers=_number(r"REG:(\d+)", usage),
        stack_bytes=_number(r"STACK:(\d+)", usage) + _number(r"LOCAL:(\d+)", usage),
        shared_bytes=int(result.metadata.shared),
        instructions=instructions,
        loop=loop,
        instructions_per_weight=len(loop) * threads / variant.weights if variant.weights else 0.0,
    )


def parsed(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return all instructions of a disassembly, and those of the largest loop that uses tensor cores."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := re.match(r"\s*(\.L_\w+):", line):
            labels[label.group(1)] = len(instructions)
        if found := re.search(r"/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", line):
            instructions.append(re.sub(r"^@!?U?P\w+\s+", "", found.group(1)))
    longest: list[str] = []
    for index, instruction in enumerate(instructions):
        target = re.search(r"BRA.*`\((\.L_\w+)\)", instruction)
        if target and labels.get(target.group(1), index + 1) <= index:
            body = instructions[labels[target.group(1)] : index + 1]
            has_tensor_cores = any(_operation(line).startswith(TENSOR_CORES) for line in body)
            if has_tensor_cores and len(body) > len(longest):
                longest = body
    return tuple(instructions), tuple(longest)


def _operation(instruction: str) -> str:
    return instruction.split(maxsplit=1)[0]


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def _tool(name: str, *arguments: str) -> str:
    """Run one of the disassemblers that come with Triton."""
    path = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    return subprocess.run([str(path), *arguments], check=True, capture_output=True, text=True).stdout
