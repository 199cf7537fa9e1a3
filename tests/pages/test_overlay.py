"""Colours over a slice: what the eye, a printer and the colour-blind read off them."""

import base64
import io
import re

import numpy as np
from PIL import Image

from aleaseg.pages.overlay import overlay_png, scale_bar, translucent

# Machado et al. (2009), severity 1: what is left to protan and deutan eyes, of linear RGB.
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def linear(rgb):
    c = rgb / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def opened(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_more_is_lighter_and_denser_in_grey_and_without_colour_vision():
    colours = translucent(np.linspace(0, 0.4, 20), 0.4).astype(float)
    for seen in (np.eye(3), PROTAN, DEUTAN):
        light = np.clip(linear(colours[:, :3]) @ np.transpose(seen), 0, None) @ LUMINANCE
        assert (np.diff(light) > 0).all()
    assert (np.diff(colours[:, 3]) > 0).all()


def test_nothing_is_clear_and_the_most_still_lets_the_image_through():
    colours = translucent(np.array([0.0, np.nan, 0.5, 2.0]), 0.5)
    assert colours[:2, 3].tolist() == [0, 0]
    assert colours[2].tolist() == colours[3].tolist()
    assert 100 < colours[2, 3] < 200


def test_the_picture_holds_a_pixel_for_each_voxel_and_shrinks_when_large():
    flat = np.random.default_rng(0).random((6, 9))
    assert (opened(overlay_png(flat, 1)) == translucent(flat, 1)).all()
    assert opened(overlay_png(np.ones((100, 2000)), 1)).shape[1] == 512


def test_the_scale_bar_has_the_colours_of_the_maps_and_both_ends():
    drawn = scale_bar(0.5, "uncertainty")
    assert re.findall(r">([\d.]+)</text>", drawn) == ["0", "0.25", "0.5"]
    row = opened(re.search(r'href="([^"]+)"', drawn)[1])[0]
    assert (row == translucent(np.linspace(0, 0.5, 256), 0.5)).all()
    assert 'aria-label="uncertainty, from 0 to 0.5"' in drawn
