"""How far a share that was counted on some images may be from that of all images."""

import math

_Z_95 = 1.959963984540054


def wilson_percent(percent: float, images: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `images`, both in percent (Wilson 1927; Agresti and Coull 1998, eq. 2).

    Raises ValueError for no image, and for a share outside 0 to 100.
    """
    if images < 1 or not 0 <= percent <= 100:
        raise ValueError(f"{percent} % of {images} images is no share")
    share, z2 = percent / 100, _Z_95**2
    middle = share + z2 / (2 * images)
    half = _Z_95 * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2))
    scale = 100 / (1 + z2 / images)
    return max(0.0, scale * (middle - half)), min(100.0, scale * (middle + half))
