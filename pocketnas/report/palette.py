"""Colours that speak of numbers: cividis for heat maps, five tints of the accent for kernel sizes."""

from collections.abc import Iterable

# Cividis (Nunez, Anderton and Renslow, 2018) at every sixteenth: even in lightness, and the same to colour-blind eyes.
_CIVIDIS = (
    0x00224E,
    0x002E6A,
    0x1A386F,
    0x32436D,
    0x434E6C,
    0x535A6D,
    0x61656F,
    0x6F7073,
    0x7D7C78,
    0x8C8878,
    0x9B9476,
    0xABA072,
    0xBCAE6C,
    0xCDBB63,
    0xDEC958,
    0xF0D846,
    0xFEE838,
)
_RGB = tuple((code >> 16, code >> 8 & 0xFF, code & 0xFF) for code in _CIVIDIS)

TINTS = 5
# Where black and white are equally legible.
BRIGHT_FROM = 0.468


def cividis(share: float) -> str:
    """The colour at `share` of the scale, 0 to 1, as #rrggbb."""
    place = min(1.0, max(0.0, share)) * (len(_RGB) - 1)
    index = min(int(place), len(_RGB) - 2)
    rest = place - index
    mixed = (round(a + (b - a) * rest) for a, b in zip(_RGB[index], _RGB[index + 1], strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def ink_on_cividis(share: float) -> str:
    """Class of text that is legible on `cividis(share)`: at least 4.5 to 1."""
    return "on-bright" if share > BRIGHT_FROM else "on-deep"


def tints(kernels: Iterable[int]) -> dict[int, int]:
    """A tint, 0 (faint) to TINTS - 1 (full), for each kernel size: the larger, the stronger."""
    sizes = sorted(set(kernels))
    if not sizes:
        return {}
    if len(sizes) == 1:
        return {sizes[0]: TINTS // 2}
    return {size: round(index * (TINTS - 1) / (len(sizes) - 1)) for index, size in enumerate(sizes)}
