"""The only module where powers of ten or two appear: conversions at the boundary between units.

Inside the core every quantity is in SI base units with a suffix (``_s``, ``_bytes``, ``_flop_per_s``, ``_usd_per_s``).
Whatever people write or read (milliseconds, GB, TFLOP/s, $/h) is converted here and nowhere else.
"""

from typing import Final

MILLISECONDS_PER_SECOND: Final = 1_000.0
MICROSECONDS_PER_SECOND: Final = 1_000_000.0
SECONDS_PER_MINUTE: Final = 60.0
SECONDS_PER_HOUR: Final = 3_600.0
BYTES_PER_GB: Final = 1_000_000_000.0
"""Decimal gigabyte, the unit of datasheet bandwidths and capacities."""
BYTES_PER_GIB: Final = 1_073_741_824.0
"""Binary gigabyte, the unit of Kubernetes quantities."""
BYTES_PER_KIB: Final = 1_024.0
"""Binary kilobyte, the unit of cache per token."""
BYTES_PER_MIB: Final = 1_048_576.0
"""Binary megabyte, the unit in which drivers report device memory."""
FLOP_PER_TFLOP: Final = 1_000_000_000_000.0
PARAMETERS_PER_BILLION: Final = 1_000_000_000.0
TOKENS_PER_MILLION: Final = 1_000_000.0
BITS_PER_BYTE: Final = 8.0
JOULES_PER_KWH: Final = 3_600_000.0
PERCENT: Final = 100.0


def s_from_ms(value_ms: float) -> float:
    """Return seconds for milliseconds.

    >>> s_from_ms(800)
    0.8
    """
    return value_ms / MILLISECONDS_PER_SECOND


def ms_from_s(value_s: float) -> float:
    """Return milliseconds for seconds.

    >>> ms_from_s(0.04)
    40.0
    """
    return value_s * MILLISECONDS_PER_SECOND


def usd_per_s_from_usd_per_h(value_usd_per_h: float) -> float:
    """Return $/s for $/h.

    >>> usd_per_s_from_usd_per_h(3600)
    1.0
    """
    return value_usd_per_h / SECONDS_PER_HOUR


def usd_per_h_from_usd_per_s(value_usd_per_s: float) -> float:
    """Return $/h for $/s.

    >>> usd_per_h_from_usd_per_s(1.0)
    3600.0
    """
    return value_usd_per_s * SECONDS_PER_HOUR


def ratio_from_percent(value_percent: float) -> float:
    """Return a ratio in [0, 1] for a percentage.

    >>> ratio_from_percent(95)
    0.95
    """
    return value_percent / PERCENT


def percent_from_ratio(value_ratio: float) -> float:
    """Return a percentage for a ratio.

    >>> percent_from_ratio(0.5)
    50.0
    """
    return value_ratio * PERCENT
