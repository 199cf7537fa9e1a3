"""Cutting a window out and pasting it back, what the network is shown, and that it is the same every time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.networks.prompted import (
    OUTSIDE,
    Prompted,
    PromptedSize,
    cut,
    look,
    paste,
    pasted,
    window_about,
)

SIZE = PromptedSize(side=32, stem=8, widths=(8, 16, 16))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Prompted(SIZE).eval()


def test_its_size_is_what_is_said():
    whole = Prompted()
    assert 1_000_000 < sum(value.numel() for value in whole.parameters()) < 8_000_000
    assert whole(torch.zeros(2, 5, 64, 64)).shape == (2, 64, 64)


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 10_000))
def test_a_window_holds_the_region_with_its_margin(height, width, seed):
    rng = np.random.default_rng(seed)
    region = torch.zeros(3, height, width)
    rows, columns = np.sort(rng.integers(0, height, 2)), np.sort(rng.integers(0, width, 2))
    region[rng.integers(3), rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    x, y, half = window_about(region, margin=0.5, least=5)
    assert x - half <= columns[0] - 0.5
    assert x + half >= columns[1] + 0.5
    assert y - half <= rows[0] - 0.5
    assert y + half >= rows[1] + 0.5
    longest = max(rows[1] - rows[0], columns[1] - columns[0]) + 1
    assert half == pytest.approx(max(5, 0.75 * longest))


def test_cut_is_bilinear_interpolation_by_hand():
    rng = np.random.default_rng(1)
    layer = rng.random((12, 15))
    x, y, half, side = 6.3, 5.1, 4.2, 8
    found = cut(torch.from_numpy(layer).float()[None, None], torch.tensor([[x, y, half]]), side)[
        0, 0
    ].numpy()
    for row in range(side):
        for column in range(side):
            at_x = x + half * ((column + 0.5) / side * 2 - 1)
            at_y = y + half * ((row + 0.5) / side * 2 - 1)
            left, top = int(np.floor(at_x)), int(np.floor(at_y))
            a, b = at_x - left, at_y - top
            expected = (
                (1 - b) * ((1 - a) * layer[top, left] + a * layer[top, left + 1])
                + b * ((1 - a) * layer[top + 1, left] + a * layer[top + 1, left + 1])
            )  # fmt: skip
            assert found[row, column] == pytest.approx(expected, abs=1e-5)


def test_what_is_pasted_lies_where_it_was_cut():
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    smooth = (0.2 * x).sin() + (0.15 * y).cos()
    window = (17.0, 14.0, 9.0)
    square = cut(smooth[None, None], torch.tensor([window]), 64)[:, 0]
    back = paste(square, window, (30, 40))[0]
    inside = back != OUTSIDE
    assert inside.sum() == 19 * 19
    assert inside[5:24, 8:27].all()
    torch.testing.assert_close(back[inside], smooth[inside], atol=0.04, rtol=0)


def test_every_slice_sees_its_neighbours_and_the_ends_themselves(network):
    rng = torch.Generator().manual_seed(0)
    image, region = torch.rand(5, 40, 40, generator=rng), torch.zeros(5, 40, 40)
    region[1:4, 10:25, 12:30] = 1
    seen = []
    handle = network.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    logits, window = look(network, image, region)
    handle.remove()
    assert logits.shape == (5, 32, 32)
    assert window == window_about(region)
    (shown,) = seen
    torch.testing.assert_close(shown[1:, 0], shown[:-1, 1])
    torch.testing.assert_close(shown[:-1, 2], shown[1:, 1])
    torch.testing.assert_close(shown[0, 0], shown[0, 1])
    torch.testing.assert_close(shown[4, 2], shown[4, 1])
    assert not shown[0, 3].any()
    assert set(np.unique(shown[2, 3])) == {0, 1}


def test_a_stack_is_the_same_whole_and_in_pieces_and_every_time(network):
    rng = torch.Generator().manual_seed(1)
    image, region = torch.rand(7, 33, 41, generator=rng), torch.zeros(7, 33, 41)
    region[:, 5:20, 8:30] = 1
    whole, _ = look(network, image, region)
    again, _ = look(network, image, region)
    pieces, _ = look(network, image, region, batch=2)
    assert torch.equal(whole, again)
    torch.testing.assert_close(whole, pieces, atol=1e-4, rtol=1e-4)
    single, window = look(network, image[3:4], region[3:4])
    assert single.shape == (1, 32, 32)
    assert window == window_about(region[3:4])


def test_points_are_seen_and_an_empty_prompt_is_refused(network):
    image, region = torch.rand(2, 30, 30), torch.zeros(2, 30, 30)
    points = torch.zeros(2, 30, 30)
    points[:, 14:16, 14:16] = 1
    with pytest.raises(ValueError, match="prompt is empty"):
        look(network, image, region)
    window = (15.0, 15.0, 12.0)
    with_points, _ = look(network, image, region, points, window=window)
    without, _ = look(network, image, region, window=window)
    assert not torch.allclose(with_points, without)


@pytest.mark.parametrize("window", [(12.0, 9.0, 5.5), (0.0, 29.0, 8.0), (20.0, 15.0, 60.0)])
def test_pasting_the_window_alone_is_pasting_all_and_cutting_it(window):
    logits = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    x, y, half = window
    across = ((torch.arange(40.0) - x) / half).expand(30, 40)
    down = ((torch.arange(30.0) - y) / half)[:, None].expand(30, 40)
    grid = torch.stack([across, down], -1)[None].expand(3, -1, -1, -1)
    whole = torch.nn.functional.grid_sample(
        logits[:, None], grid, padding_mode="border", align_corners=False
    )
    inside = (across.abs() <= 1) & (down.abs() <= 1)
    wanted = torch.where(inside, whole[:, 0], OUTSIDE)
    assert torch.equal(paste(logits, window, (30, 40)), wanted)
    rows, columns, found = pasted(logits, window, (30, 40))
    assert found.shape == (3, int(inside.any(1).sum()), int(inside.any(0).sum()))
    assert torch.equal(wanted[:, rows, columns], found)
