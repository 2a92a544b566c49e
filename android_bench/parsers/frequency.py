"""How long a core ran at each frequency: cpufreq's `stats/time_in_state` (the kernel's cpufreq-stats documentation)."""

from collections.abc import Mapping

from android_bench.parsers.text import Output, excerpt, integer, lines_of, text_of, unreadable

_SOURCE = "time_in_state"
_MAX_KHZ = 100_000_000


def parse_time_in_state(output: Output) -> dict[int, int]:
    """Ticks of 10 ms since boot by frequency in kHz. Raises UnreadableOutputError when `output` is no such table."""
    ticks: dict[int, int] = {}
    for line in lines_of(text_of(output, _SOURCE).strip()):
        fields = line.split()
        khz = integer(fields[0], 1, _MAX_KHZ) if len(fields) == 2 else None
        spent = integer(fields[1]) if len(fields) == 2 else None
        if khz is None or spent is None or khz in ticks:
            raise unreadable(_SOURCE, f"no frequency and ticks: {excerpt(line)}")
        ticks[khz] = spent
    return ticks


def frequency_shares(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, float] | None:
    """The share, 0 to 1, of the time between two tables that was spent at each frequency in kHz.

    None when that cannot be told: no tick has passed, the frequencies differ, or a counter ran backwards because the
    device was started anew.
    """
    if set(before) != set(after):
        return None
    spent = {khz: after[khz] - ticks for khz, ticks in before.items()}
    total = sum(spent.values())
    if total <= 0 or min(spent.values()) < 0:
        return None
    return {khz: ticks / total for khz, ticks in spent.items()}
