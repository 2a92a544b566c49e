"""Augmentation: what chance decides is spread as asked, and the pixels are those that Pillow and colorsys compute."""

import colorsys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.nn import functional

from pocketnas_base.errors import InputError
from search.augment import Augmentation, Draws
from search.colour import brightness, change_colours, contrast, hue, saturation

LEVEL = 1.0
"""Pillow rounds to whole levels, sometimes twice on the way."""


def images_of(count: int = 24, channels: int = 3, size: int = 16) -> Tensor:
    """Noise on a gradient: neighbouring pixels differ, and every colour occurs."""
    generator = torch.Generator().manual_seed(4)
    noise = torch.randint(0, 120, (count, channels, size, size), generator=generator)
    ramp = torch.linspace(0, 135, size).round().long()
    return (noise + ramp).to(torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pillow(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def as_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float()


def test_every_image_is_a_shifted_and_maybe_mirrored_original() -> None:
    reach = 2
    images = images_of(100)
    augmentation = Augmentation(shift_px=reach)
    made = augmentation.apply(images, augmentation.draw(100, 16, generator()))
    padded = functional.pad(images, (reach,) * 4)
    found: set[tuple[int, int, bool]] = set()
    for image, around in zip(made, padded, strict=True):
        crops = {
            (down, right, mirrored): crop.flip(2) if mirrored else crop
            for down in range(2 * reach + 1)
            for right in range(2 * reach + 1)
            for crop in [around[:, down : down + 16, right : right + 16]]
            for mirrored in (False, True)
        }
        matches = [draw for draw, crop in crops.items() if torch.equal(crop, image)]
        assert len(matches) == 1
        found.add(matches[0])
    assert {down for down, _, _ in found} == {right for _, right, _ in found} == set(range(5))
    assert {mirrored for _, _, mirrored in found} == {False, True}


def test_half_the_images_are_mirrored() -> None:
    ramp = torch.arange(8, dtype=torch.uint8).expand(4000, 3, 8, 8)
    for augmentation in (Augmentation(shift_px=0), Augmentation(crop_scale=(1, 1), crop_ratio=(1, 1))):
        made = augmentation.apply(ramp, augmentation.draw(4000, 8, generator()))
        assert 0.46 < float((made[:, 0, 0, 0] > 1).float().mean()) < 0.54


@pytest.mark.parametrize("flip", [False, True])
def test_a_crop_is_the_box_that_pillow_cuts_out_and_resizes(flip: bool) -> None:
    augmentation = Augmentation(flip=flip, crop_scale=(0.08, 1.0))
    images = images_of(64, size=32)
    draws = augmentation.draw(64, 32, generator(3))
    assert draws.boxes is not None
    made = augmentation.apply(images, draws)
    for number, image in enumerate(images):
        top, left, height, width = (int(end) for end in draws.boxes[:, number, 0])
        box = pillow(image).crop((left, top, left + width, top + height))
        expected = as_tensor(box.resize((32, 32), Image.Resampling.BILINEAR))
        if bool(draws.mirrored[number]):
            expected = expected.flip(2)
        assert (made[number] - expected).abs().max() <= LEVEL


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
    st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)),
    st.integers(4, 64),
    st.integers(0, 1000),
)
def test_boxes_lie_in_the_image_and_within_what_was_asked(
    scale: tuple[float, float], ratio: tuple[float, float], size: int, seed: int
) -> None:
    scale, ratio = (min(scale), max(scale)), (min(ratio), max(ratio))
    boxes = Augmentation(crop_scale=scale, crop_ratio=ratio).draw(50, size, generator(seed)).boxes
    assert boxes is not None
    top, left, height, width = boxes
    assert bool((boxes == boxes.round()).all())
    assert bool((top >= 0).all() & (left >= 0).all() & (height >= 1).all() & (width >= 1).all())
    assert bool((top + height <= size).all() & (left + width <= size).all())
    # Whole pixels: a side is off by half of one at most.
    assert bool(((width + 0.5) / (height - 0.5) >= ratio[0] * (1 - 1e-4)).all())
    assert bool(((width - 0.5) / (height + 0.5) <= ratio[1] * (1 + 1e-4)).all())


def test_areas_and_places_of_crops_are_spread_over_all_that_was_asked() -> None:
    boxes = Augmentation(crop_scale=(0.25, 0.75), crop_ratio=(1, 1)).draw(20_000, 64, generator()).boxes
    assert boxes is not None
    top, left, height, width = boxes
    areas = height * width / 64**2
    assert float(areas.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(areas.quantile(0.1)) == pytest.approx(0.3, abs=0.02)
    for corner in (top, left):
        assert float((corner / (64 - height)).mean()) == pytest.approx(0.5, abs=0.02)
        assert bool((corner == 0).any())
        assert bool((corner + height == 64).any())


ENHANCERS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Image.Image], ImageEnhance._Enhance]]] = {
    "brightness": (brightness, ImageEnhance.Brightness),
    "contrast": (contrast, ImageEnhance.Contrast),
    "saturation": (saturation, ImageEnhance.Color),
}


@pytest.mark.parametrize("name", ENHANCERS)
def test_colours_change_as_in_pillow(name: str) -> None:
    ours, theirs = ENHANCERS[name]
    images = images_of()
    factors = torch.linspace(0, 2, len(images))
    made = ours(images.float(), factors)
    for image, factor, got in zip(images, factors.tolist(), made, strict=True):
        expected = as_tensor(theirs(pillow(image)).enhance(factor))
        # Pillow's grey is a whole level, of which up to twice the rounding is left.
        assert (got - expected).abs().max() <= 2 * LEVEL


def test_hues_turn_as_in_colorsys() -> None:
    images = images_of(6, size=8)
    images[0, :, 0, 0] = 0
    images[0, :, 0, 1] = 255
    images[0, :, 0, 2] = torch.tensor([0, 255, 255])
    turns = torch.tensor([-0.5, -0.2, 0.0, 0.05, 0.31, 0.5])
    made = hue(images.float(), turns)
    for image, turn, got in zip(images, turns.tolist(), made, strict=True):
        for pixel, found in zip(image.flatten(1).T.tolist(), got.flatten(1).T.tolist(), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*(level / 255 for level in pixel))
            expected = [255 * level for level in colorsys.hsv_to_rgb((h + turn) % 1, s, v)]
            assert found == pytest.approx(expected, abs=0.01)


def test_factors_are_spread_over_their_strengths_and_the_order_is_drawn() -> None:
    augmentation = Augmentation(brightness=32 / 255, contrast=2.0, saturation=0.5, hue=0.1)
    draws = [augmentation.draw(500, 32, generator(seed)) for seed in range(60)]
    colour = torch.cat([draw.colour for draw in draws if draw.colour is not None], dim=1)
    spans = list(zip(colour.amin(1).tolist(), colour.amax(1).tolist(), strict=True))
    expected = [(1 - 32 / 255, 1 + 32 / 255), (0, 3), (0.5, 1.5), (-0.1, 0.1)]
    for span, ends in zip(spans, expected, strict=True):
        assert span == pytest.approx(ends, abs=0.01)
    orders = {draw.order for draw in draws}
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(orders) > 12


def test_only_what_is_asked_for_changes() -> None:
    images = images_of()
    none = Augmentation(shift_px=0, flip=False)
    assert torch.equal(none.apply(images, none.draw(24, 16, generator())), images)
    bright = Augmentation(shift_px=0, flip=False, brightness=0.4)
    draws = bright.draw(24, 16, generator())
    assert draws.order == (0,)
    assert draws.colour is not None
    assert torch.equal(bright.apply(images, draws), brightness(images.float(), draws.colour[0]))


def test_colours_change_in_the_order_that_was_drawn() -> None:
    images = images_of().float()
    factors = torch.tensor([[1.8], [0.3], [1.0], [0.0]]).expand(4, 24)
    one = change_colours(images, factors, (0, 1))
    assert torch.equal(one, contrast(brightness(images, factors[0]), factors[1]))
    assert not torch.equal(one, change_colours(images, factors, (1, 0)))


def test_grey_images_have_brightness_and_contrast_alone() -> None:
    augmentation = Augmentation(brightness=0.5, contrast=0.5)
    augmentation.check(16, 1)
    made = augmentation.apply(images_of(channels=1), augmentation.draw(24, 16, generator()))
    assert made.shape == (24, 1, 16, 16)
    for coloured in (Augmentation(saturation=0.1), Augmentation(hue=0.1)):
        with pytest.raises(InputError, match="saturation and hue are of colours"):
            coloured.check(16, 1)


def test_the_same_generator_gives_the_same_batch() -> None:
    augmentation = Augmentation(crop_scale=(0.3, 1), brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)

    def made(seed: int) -> Tensor:
        torch.rand(1)  # the global generator stands elsewhere at every call
        return augmentation.apply(images_of(), augmentation.draw(24, 16, generator(seed)))

    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))


def test_draws_go_where_the_images_are() -> None:
    draws = Augmentation(crop_scale=(0.3, 1), hue=0.1).draw(4, 8, generator()).to(torch.device("meta"))
    assert isinstance(draws, Draws)
    assert {draws.mirrored.device.type, draws.boxes.device.type, draws.colour.device.type} == {"meta"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"brightness": -0.1}, "brightness must lie within 0 and 10"),
        ({"contrast": float("nan")}, "contrast must lie within"),
        ({"saturation": 11.0}, "saturation must lie within"),
        ({"hue": 0.6}, "hue must lie within 0 and 0.5, not 0.6"),
        ({"shift_px": -1}, "shift_px must be at least 0, not -1"),
        ({"shift_px": 2, "crop_scale": (0.5, 1.0)}, "give shift_px or crop_scale"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale must rise within 0 and 1"),
        ({"crop_scale": (0.9, 0.5)}, "crop_scale must rise within 0 and 1"),
        ({"crop_scale": (0.5, 1.1)}, "crop_scale must rise within 0 and 1"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio must rise above 0"),
        ({"crop_ratio": (0.0, 1.0)}, "crop_ratio must rise above 0"),
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Augmentation(**values)  # type: ignore[arg-type]
