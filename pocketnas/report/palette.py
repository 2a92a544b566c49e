"""Colours that speak of numbers: cividis for heat maps, five tints of the accent for kernel sizes."""

from collections.abc import Iterable

# Cividis (Nunez, Anderton and Renslow, 2018) at every sixteenth: even in lightness, and the same to colour-blind eyes.
_CIVIDIS = (
    "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 8c8878 9b9476 aba072 bcae6c cdbb63 dec958 f0d846 "
    "fee838"
).split()
_RGB = tuple(tuple(int(code[i : i + 2], 16) for i in (0, 2, 4)) for code in _CIVIDIS)

TINTS = 5


def cividis(share: float) -> str:
    """The colour at `share` of the scale, 0 to 1, as #rrggbb."""
    place = min(1.0, max(0.0, share)) * (len(_RGB) - 1)
    index = min(int(place), len(_RGB) - 2)
    rest = place - index
    mixed = (round(a + (b - a) * rest) for a, b in zip(_RGB[index], _RGB[index + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def ink_on_cividis(share: float) -> str:
    """Class of text that is legible on `cividis(share)`: at least 4.5 to 1."""
    return "on-bright" if share > 0.52 else "on-deep"


def tints(kernels: Iterable[int]) -> dict[int, int]:
    """A tint, 0 (faint) to TINTS - 1 (full), for each kernel size: the larger, the stronger."""
    sizes = sorted(set(kernels))
    if len(sizes) == 1:
        return {sizes[0]: TINTS // 2}
    return {size: round(index * (TINTS - 1) / (len(sizes) - 1)) for index, size in enumerate(sizes)}
