"""Changes of light, colour and detail: each against a closed form, a slow twin or another library; and how they grow."""

from __future__ import annotations

import colorsys
import io
import itertools
import math
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.datasets import load_sample_image
from torch.nn import functional

from seewhy import shelf
from seewhy.images import imaging
from seewhy.interventions import Change, _kernels, _noise
from seewhy.interventions._severity import Parameter
from seewhy.interventions.jpeg_compression import compressed
from seewhy.interventions.shot_noise import FEW, counts
from seewhy.types import Batch, Preprocessing
from seewhy.worlds import World

STRENGTHS = (1.0, 2.0, 3.0, 4.0, 5.0)
GRADED = [
    n for n in shelf.members("interventions") if getattr(shelf.load("interventions", n), "strengths", ()) == STRENGTHS
]
#: Light is added and taken away at once, so that the distance need not grow; what is lost of the scene must.
LOSES = {"fog", "frost"}
#: As published for 32 pixels: severities 2 and 4 leave a disorder that 3 and 5 smooth away; 30 pixels and 28 are alike.
NOT_EACH_STEP = {("glass_blur", "small"), ("glass_blur", "world"), ("pixelate", "small")}


def batch_of(image, name="image"):
    return Batch(tuple(f"{name} {place}" for place in range(len(image))), {"image": image})


@cache
def images(kind):
    if kind == "world":
        world = World(background=0.5, test=16)
        return world.scene(world.ids("test")).images()
    photos = [
        load_sample_image(name)[:400, left : left + 400] for name in ("flower.jpg", "china.jpg") for left in (0, 200)
    ]
    size = (32, 32) if kind == "small" else (224, 224)
    fitted = [imaging.fit_pixels(np.ascontiguousarray(photo), Preprocessing(size)) for photo in photos]
    return torch.stack([torch.from_numpy(each).permute(2, 0, 1).float() / 255 for each in fitted])


def changed(name, image, strength=3.0, **settings):
    return Change(name, strength, tuple(settings.items())).apply(batch_of(image)).inputs["image"]


def distance(before, after):
    return float((after - before).square().mean((1, 2, 3)).sqrt().mean())


def lost(before, after):
    """How much of the scene no change of light and contrast brings back: 1 - the squared correlation."""
    pairs = zip(before.flatten(1), after.flatten(1), strict=True)
    return float(np.mean([1 - np.corrcoef(a, b)[0, 1] ** 2 for a, b in pairs]))


@pytest.mark.parametrize("kind", ["world", "small", "large"])
@pytest.mark.parametrize("name", GRADED)
def test_a_stronger_change_takes_the_image_farther_from_the_clean_one(name, kind):
    clean = images(kind) if kind != "large" else images(kind)[:2]
    away = lost if name in LOSES else distance
    grows = [away(clean, changed(name, clean, strength)) for strength in STRENGTHS]
    assert grows[0] > 0
    assert grows[-1] > 1.05 * grows[0]
    if (name, kind) not in NOT_EACH_STEP:
        assert all(weak <= 1.001 * strong for weak, strong in itertools.pairwise(grows)), grows


@pytest.mark.parametrize("name", GRADED)
def test_strength_0_changes_nothing_and_between_two_severities_images_are_mixed(name):
    clean = images("small")
    assert torch.equal(changed(name, clean, 0.0), clean)
    two, three = changed(name, clean, 2.0), changed(name, clean, 3.0)
    assert torch.allclose(changed(name, clean, 2.25), 0.75 * two + 0.25 * three, atol=1e-5)
    assert torch.allclose(changed(name, clean, 0.5), (clean + changed(name, clean, 1.0)) / 2, atol=1e-5)
    with pytest.raises(ValueError, match="A strength of 6 is no severity: they run from 0, unchanged, to 5"):
        changed(name, clean, 6.0)


def test_a_parameter_is_what_was_published_at_32_and_224_and_lengths_follow_the_side():
    length, share = Parameter((1, 1, 1, 1, 2), (5, 5, 5, 5, 10), pixels=True), Parameter((0.2,) * 5, (0.6,) * 5)

    def at(parameter, height, width, severity=5):
        return parameter.at(severity, torch.zeros(1, 3, height, width))

    assert at(length, 32, 32) == 2
    assert at(length, 224, 300) == pytest.approx(10)
    assert at(length, 16, 40) == 1
    assert at(length, 448, 448) == pytest.approx(20)
    assert at(share, 16, 16) == 0.2
    assert at(share, 448, 448) == pytest.approx(0.6)
    middle = round(math.sqrt(32 * 224))
    assert at(share, middle, middle) == pytest.approx(0.4, abs=0.002)


@pytest.mark.parametrize(
    "name",
    "defocus_blur glass_blur motion_blur zoom_blur elastic_transform pixelate low_pass high_pass contrast channel_swap hue".split(),
)
def test_what_has_neither_detail_nor_colour_stays_as_it_is(name):
    grey = torch.full((2, 3, 40, 36), 0.4)
    for strength in (0.5, 1.0) if name in ("hue", "channel_swap") else STRENGTHS:
        assert torch.allclose(changed(name, grey, strength), grey, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ noise


def test_normal_numbers_are_normal_and_of_their_example_alone():
    drawn = _noise.gaussian(batch_of(torch.zeros(2, 3, 4, 4)), (100_000,), seed=0, stream="a test").numpy()
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn[0], "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.02
    again = _noise.gaussian(batch_of(torch.zeros(1, 3, 4, 4)), (100_000,), seed=1, stream="a test").numpy()
    assert abs(np.corrcoef(drawn[0], again[0])[0, 1]) < 0.02


@pytest.mark.parametrize(("side", "deviation"), [(32, 0.04), (224, 0.08)])
def test_gaussian_noise_has_the_published_deviation(side, deviation):
    noisy = changed("gaussian_noise", torch.full((1, 3, side, side), 0.5), 1.0)
    assert float(noisy.std()) == pytest.approx(deviation, rel=0.05)


def test_impulse_noise_loses_the_published_share_half_to_black_and_half_to_white():
    noisy = changed("impulse_noise", torch.full((1, 3, 224, 224), 0.5), 5.0)
    assert float((noisy == 0).float().mean()) == pytest.approx(0.135, abs=0.005)
    assert float((noisy == 1).float().mean()) == pytest.approx(0.135, abs=0.005)
    assert float((noisy == 0.5).float().mean()) == pytest.approx(0.73, abs=0.005)


def test_counts_of_photons_are_those_of_scipys_poisson():
    drawn = (torch.arange(100_000) + 0.5) / 100_000
    for mean in (0.0, 0.3, 2.0, 3.9):
        assert mean < FEW
        assert (
            counts(torch.full_like(drawn, mean), drawn).numpy() == stats.poisson.ppf(drawn.numpy(), mean).clip(0)
        ).mean() > 0.9999
    for mean in (4.0, 12.0, 60.0, 500.0):
        found = counts(torch.full_like(drawn, mean), drawn).numpy().astype(int)
        shares = np.bincount(found) / len(drawn)
        away = np.abs(shares - stats.poisson.pmf(np.arange(len(shares)), mean)).sum() / 2
        assert away < 0.006, mean


def test_a_sensors_columns_are_the_same_in_all_images_and_another_sensor_has_others():
    grey = batch_of(torch.full((2, 3, 400, 64), 0.5))
    one = Change("sensor_noise", 5.0).apply(grey, seed=0).inputs["image"].mean((1, 2))
    other = Change("sensor_noise", 5.0).apply(grey, seed=1).inputs["image"].mean((1, 2))
    assert np.corrcoef(one)[0, 1] > 0.9
    assert abs(np.corrcoef(one[0], other[0])[0, 1]) < 0.4


# ------------------------------------------------------------------------------------------- light and colour


def test_brightness_and_hue_are_those_of_colorsys():
    image = images("small")[:1]
    pixels = image[0].flatten(1).T[:200]

    def by_hand(turn, more):
        there = (colorsys.rgb_to_hsv(*pixel) for pixel in pixels.tolist())
        return torch.tensor([colorsys.hsv_to_rgb((h + turn) % 1, s, min(v + more, 1)) for h, s, v in there])

    def ours(name, strength):
        return changed(name, image, strength)[0].flatten(1).T[:200]

    assert torch.allclose(ours("brightness", 5.0), by_hand(0, 0.3), atol=1e-5)
    assert torch.allclose(ours("hue", 0.25), by_hand(0.25, 0), atol=1e-4)
    assert torch.allclose(ours("hue", 1.0), pixels, atol=1e-4)


def test_black_grows_brighter_as_grey():
    assert torch.allclose(changed("brightness", torch.zeros(1, 3, 224, 224), 5.0), torch.tensor(0.5))


def test_contrast_keeps_the_mean_and_the_published_share():
    image = images("large")
    after = changed("contrast", image, 3.0)
    assert torch.allclose(after.mean((2, 3)), image.mean((2, 3)), atol=1e-4)
    assert torch.allclose(after.std((2, 3)) / image.std((2, 3)), torch.tensor(0.2), atol=1e-3)


def test_channels_change_places_and_three_turns_bring_them_back():
    image = images("small")
    once = changed("channel_swap", image, 1.0)
    assert torch.equal(once[:, 0], image[:, 1])
    assert torch.equal(changed("channel_swap", changed("channel_swap", once, 1.0), 1.0), image)
    assert torch.equal(changed("channel_swap", image, 1.0, order="bgr"), image.flip(1))
    with pytest.raises(
        ValueError, match="The order of channels is 'rgg'; it must name r, g and b once each, as 'gbr' does"
    ):
        changed("channel_swap", image, 1.0, order="rgg")


def test_a_cast_multiplies_white_and_leaves_black():
    white = torch.ones(1, 3, 4, 4)
    assert torch.allclose(changed("tint", white, 5.0)[0, :, 0, 0], torch.tensor([1.0, 1.0, 0.8]))
    assert torch.equal(changed("tint", white * 0, 5.0), white * 0)
    with pytest.raises(ValueError, match="No cast 'warmth'. Did you mean 'warm'?"):
        changed("tint", white, 1.0, cast="warmth")


def test_ice_is_bright_and_uneven_and_every_image_has_its_own():
    ice = shelf.load("interventions", "frost").ice(batch_of(torch.zeros(2, 3, 224, 224)))
    assert 0.2 < float(ice.mean()) < 0.6
    assert float(ice.std()) > 0.1
    assert not torch.allclose(ice[0], ice[1], atol=0.1)


# -------------------------------------------------------------------------------------------------------- detail


def test_a_convolution_is_that_of_torch_on_an_image_that_goes_on_as_it_ends():
    image, kernel = images("small"), torch.rand(7, 7, generator=torch.Generator().manual_seed(0))
    padded = functional.pad(image, (3, 3, 3, 3), mode="replicate").flatten(0, 1)[:, None]
    twin = functional.conv2d(padded, kernel.flip(0, 1)[None, None]).view_as(image)
    assert torch.allclose(_kernels.convolved(image, kernel[None]), twin, atol=1e-4)


def test_a_streak_lies_along_its_angle_and_a_disc_is_round():
    kernels = _kernels.line(4, 2.0, torch.tensor([0.0, math.pi / 2, 0.3]))
    assert torch.allclose(kernels.sum((1, 2)), torch.ones(3))
    middle = kernels.shape[-1] // 2
    falls = torch.exp(-(torch.arange(9.0) ** 2) / 8)
    assert torch.allclose(kernels[0, middle, middle:], (falls / falls.sum())[: middle + 1], atol=1e-6)
    assert torch.allclose(kernels[1], kernels[0].T, atol=1e-5)
    disc = _kernels.disc(3, 0.1, like=torch.zeros(1))[0]
    assert torch.allclose(disc, disc.T)
    assert int((disc > 1e-6).sum()) == 29  # points of a grid within 3 of its middle
    assert float(disc.sum()) == pytest.approx(1)


@pytest.mark.parametrize("quality", [7, 25, 50, 80])
@pytest.mark.parametrize("side", [224, 45])
def test_a_compressed_image_is_nearly_pillows(quality, side):
    image = images("large")[:2, :, :side, :side]
    ours = compressed(image, quality)
    for row, pixels in enumerate(image):
        buffer = io.BytesIO()
        Image.fromarray(pixels.mul(255).round().byte().permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
        theirs = torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1).float() / 255
        apart = float((ours[row] - theirs).abs().mean())
        assert apart < 1.1 / 255
        assert apart < 0.5 * float((pixels - theirs).abs().mean())


def test_large_pixels_are_means_of_those_they_cover():
    image = images("large")
    blocks = functional.avg_pool2d(image, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(changed("pixelate", image, 5.0), blocks, atol=1e-5)


def test_coarse_and_fine_make_the_whole():
    image = 0.4 + 0.2 * images("small")
    mean = image.mean((2, 3), keepdim=True)
    low, high = changed("low_pass", image, 3.0), changed("high_pass", image, 4.0)  # 4 waves both
    assert torch.allclose(low + high - mean, image, atol=1e-5)


def test_half_of_a_wave_is_left_where_it_is_said_to_be():
    wave = torch.cos(torch.arange(224) * 2 * math.pi * 4 / 224) / 4 + 0.5
    image = wave.expand(1, 3, 224, 224)
    middle = changed("low_pass", image, 3.0)[0, 0, 112, 50:174]
    assert float(middle.max() - middle.min()) == pytest.approx(0.25, rel=0.02)
