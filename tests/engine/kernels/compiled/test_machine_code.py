"""What compilers make of the kernels, for GPUs that are not there; figures are those of docs/kernels.md."""

import re
from functools import cache

import pytest
import triton

from kernelreport.machine_code import SHARED_BYTES, MachineCode, Variant, compiled, parsed
from kernelreport.table import DOCUMENT, row
from kernelreport.variants import CAPABILITIES, variants

CASES = [(capability, variant) for capability in CAPABILITIES for variant in variants(capability)]
IDS = [f"sm_{capability} {variant.name}" for capability, variant in CASES]
MOST_PER_WEIGHT = {
    # At an H200's 4.3 TB/s a multiprocessor affords 3.6 to 4.0 instructions for each 4-bit weight, 8 bits twice that.
    "w4a16": 2.8,
    "w8a16_int8": 3.6,
    "w8a16_fp8": 3.6,
    "w8a8_int8": 2.5,
    "w8a8_fp8": 1.5,
    "w4a8_int8": 2.1,
    # Cached values of 16 bits may take 15 instructions, those of 8 bits 7.5.
    "attention bf16": 4.0,
    "attention int8": 5.5,
    "attention fp8": 5.5,
}


@cache
def code_of(index: int) -> MachineCode:
    capability, variant = CASES[index]
    return compiled(variant, capability)


def is_product(variant: Variant) -> bool:
    return variant.weights > 0 and not variant.name.startswith("attention")


def expected_families(capability: int, variant: Variant) -> tuple[str, ...]:
    """Return how tensor-core instructions of a variant must begin."""
    if variant.name.endswith(" 16 rows") or capability == 80:
        return ("HMMA", "IMMA")  # mma.sync: 16 rows are too few for a warp group
    return ("HGMMA", "IGMMA", "QGMMA") if capability == 90 else ("UTCHMMA", "UTCIMMA", "UTCQMMA")


@pytest.mark.parametrize("index", range(len(CASES)), ids=IDS)
def test_a_kernel_fits_its_architecture_and_equals_the_documented_figures(index: int) -> None:
    capability, variant = CASES[index]
    code = code_of(index)
    assert 0 == code.stack_bytes, "registers spill"
    assert code.shared_bytes <= SHARED_BYTES[capability]
    if variant.weights:
        families = expected_families(capability, variant)
        assert code.tensor_instructions
        assert all(text.startswith(families) for text in code.tensor_instructions)
    if is_product(variant) and capability == 90 and "w8a8" not in variant.name:
        assert code.reads_weights_from_registers
    if capability != 100 and variant.weights and re.search(r" 16( zeros| fp16| routed| rows|)$", variant.name):
        limit = next(most for name, most in MOST_PER_WEIGHT.items() if variant.name.startswith(name))
        assert 0 < code.instructions_per_weight <= limit
    text = DOCUMENT.read_text()
    if f"Triton {triton.__version__}." in text:
        assert row(variant, code) in text.splitlines()


def test_no_load_of_the_loop_of_a_4_bit_product_waits_for_memory() -> None:
    index = IDS.index("sm_90 w4a16 16")
    # LDG would wait; LDGSTS copies to shared memory ahead: 4 of weights, 4 of inputs, 1 of scales.
    assert (0, 9) == (code_of(index).count("LDG."), code_of(index).count("LDGSTS"))


def test_inline_ptx_takes_a_third_of_the_instructions_away() -> None:
    with_ptx, without = (
        code_of(IDS.index(f"sm_90 w4a16 16{suffix}")).instructions_per_weight for suffix in ("", " no PTX")
    )
    assert with_ptx <= 2 / 3 * without


def test_a_loop_is_told_from_straight_code() -> None:
    text = """
        /*0000*/                   MOV R1, R2 ;
.L_x_1:
        /*0010*/                   HMMA.16816.F32 R4, R8, R12, R4 ;
        /*0020*/              @P0  BRA `(.L_x_1) ;
        /*0030*/                   EXIT ;
"""
    instructions, loop = parsed(text)
    assert (4, ("HMMA.16816.F32 R4, R8, R12, R4", "BRA `(.L_x_1)")) == (len(instructions), loop)
