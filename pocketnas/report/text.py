"""How numbers and names are written: one way each, so that the same number reads the same everywhere."""

import math

from latency.provenance import TableInfo

RUNTIME_NAMES = {"tflite": "TFLite", "executorch": "ExecuTorch"}
MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"
APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
TIMES = "\N{MULTIPLICATION SIGN}"
SMALLEST_SHOWN_MS = 1e-5


def number(value: float, digits: int = 3) -> str:
    """`digits` significant digits, all of a whole number's, never an exponent: 0.0312, 0.438, 12.3, 1234."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if abs(value) < SMALLEST_SHOWN_MS:
        return f"{'<' if value > 0 else '>' + MINUS}{SMALLEST_SHOWN_MS:.5f}"
    if abs(value) >= 10**digits:
        return f"{value:.0f}".replace("-", MINUS)
    # Rounded first: 0.9996 to three digits is 1.00, not 1.000.
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:.{decimals}f}".replace("-", MINUS)


def number_or_dash(value: float | None) -> str:
    """A number, or a dash where there is none."""
    return DASH if value is None else number(value)


def milliseconds(value: float | None) -> str:
    """`0.438 ms`; a dash where there is none."""
    return DASH if value is None else f"{number(value)} ms"


def signed(value: float, decimals: int = 1) -> str:
    """`+2.1`, `−0.4`, `0.0`: a true minus sign, and none before a zero."""
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else MINUS) + text


def percent(value: float | None) -> str:
    """A top-1 in percent, two decimals: one image of ten thousand shows."""
    return DASH if value is None else f"{value:.2f} %"


def count(value: float) -> str:
    """`940`, `61.2 k`, `5.63 M`, `1.20 G`."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{number(value / limit)} {unit}"
    return f"{value:.0f}"


def file_size(value: int) -> str:
    """`912 B`, `61.2 kB`, `5.63 MB` (powers of ten)."""
    text = count(value)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def duration(seconds: float) -> str:
    """`8.2 s`, `1 min 05 s`, `2 h 03 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def error_size(value: float | None) -> str:
    """A relative output difference: `2.1e-06`."""
    return DASH if value is None else f"{value:.1e}"


def runtime_name(runtime: str) -> str:
    """How people call a runtime."""
    return RUNTIME_NAMES.get(runtime, runtime)


def table_text(info: TableInfo) -> str:
    """What a table is of, as far as it says: `TFLite fp32`."""
    known = [runtime_name(info.runtime) if info.runtime else None, info.precision]
    return " ".join(filter(None, known)) or f"imported, of {info.device_name}"


def candidate_lines(name: str) -> tuple[str, str]:
    """A candidate's name as two short lines: `mb6_5x5` gives `MB6` and `5×5`."""
    head, _, tail = name.partition("_")
    return (head.upper() if head.startswith("mb") else head), tail.replace("x", TIMES)


def clipped(text: str, limit: int) -> str:
    """At most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
