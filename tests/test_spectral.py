"""What S accepts, refuses and costs; its laws are in tests/laws, its numbers in tests/golden."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from aleaseg.spectral import semantic_perception_scale, singular_value_energies

RNG = np.random.default_rng(0)


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_batch_axes_and_types():
    maps = normal(2, 3, 5, 6, 7)
    for array in (maps, maps.astype(np.float32), maps.astype(np.float16), (9 * maps).astype(np.int16)):
        scale = semantic_perception_scale(array)
        assert scale.shape == (2, 3)
        assert scale.dtype == np.float64
        tensor = semantic_perception_scale(torch.as_tensor(array))
        assert tensor.shape == (2, 3)
        assert tensor.dtype == torch.float64
        np.testing.assert_allclose(tensor.numpy(), scale, atol=1e-6)
    assert semantic_perception_scale(torch.as_tensor(maps).bfloat16()).shape == (2, 3)
    assert semantic_perception_scale(maps[:, :0]).shape == (2, 0)
    assert singular_value_energies(maps, unfold="w_dh").shape == (2, 3, 7)


def test_two_dimensional_maps():
    maps = normal(4, 9, 6)
    scale = semantic_perception_scale(maps, unfold="h_w")
    assert scale.shape == (4,)
    # The same matrices as 3D maps one voxel wide.
    np.testing.assert_allclose(scale, semantic_perception_scale(maps[:, :, None]), atol=1e-12)


def test_bool_mask():
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    assert float(semantic_perception_scale(mask)) == pytest.approx(np.log(2) / np.log(4))


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize(
    ("maps", "options", "words"),
    [
        (np.ones((1, 5, 6)), {}, "'h_dw' or 'w_dh' or 'h_w'"),
        (np.ones((3, 1, 1)), {}, "3 x 1"),
        (np.ones((5, 6)), {}, 'pass unfold="h_w"'),
        (np.ones((1, 6)), {"unfold": "h_w"}, "pass a larger map"),
        (np.ones((0, 5, 6)), {}, "0 x 0"),
        (np.ones((3, 5, 6)), {"unfold": "hw_d"}, "'d_hw', 'h_dw', 'w_dh', 'h_w'"),
        (np.ones((3, 5, 6)), {"definition": "code"}, "'paper', 'official'"),
        (np.ones((3, 5, 6)), {"rank": "half"}, "'full', 'numerical'"),
        (np.ones((3, 5, 6)), {"power": 0}, "power is 0"),
        (np.ones((3, 5, 6)), {"chunk": 0}, "chunk is 0"),
        (np.array([1.0, np.nan] * 30).reshape(3, 4, 5), {}, "30 values that are NaN or infinite among 60"),
        (np.array([1.0, np.inf] * 30).reshape(3, 4, 5), {"power": 1}, "30 values"),
        (np.array([1.0, -np.inf] * 30).reshape(3, 4, 5), {"center": True}, "30 values"),
    ],
)
def test_refuses(convert, maps, options, words):
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        semantic_perception_scale(convert(maps), **options)
    assert words in str(caught.value)


def test_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="complex"):
        semantic_perception_scale(np.ones((3, 4, 5), complex))
    with pytest.raises(TypeError, match="complex"):
        semantic_perception_scale(torch.ones((3, 4, 5), dtype=torch.complex64))


def test_one_bad_map_of_a_batch_is_found_under_grad():
    maps = torch.randn(3, 4, 5, 6, requires_grad=True)
    with pytest.raises(ValueError, match="NaN or infinite"):
        semantic_perception_scale(maps / (maps.detach() != maps.detach()[1, 1, 1, 1]))


def test_numerical_rank():
    rows = np.zeros((8, 2, 8))
    rows[0, 0, 0] = rows[1, 0, 1] = 1.0
    assert float(semantic_perception_scale(rows)) == pytest.approx(np.log(2) / np.log(8))
    assert float(semantic_perception_scale(rows, rank="numerical")) == pytest.approx(1.0)
    rows[1] = 0
    assert float(semantic_perception_scale(rows, rank="numerical")) == 0.0
    noisy = rows.astype(np.float32) + 1e-5 * normal(8, 2, 8).astype(np.float32)
    assert float(semantic_perception_scale(noisy, rank="numerical")) == 0.0


@pytest.mark.parametrize("unfold", ["d_hw", "h_dw", "w_dh"])
@pytest.mark.parametrize("options", [{}, {"power": 1}, {"definition": "official"}, {"center": True}])
@pytest.mark.parametrize("shape", [(2, 3, 2, 4), (2, 8, 2, 3)])
def test_gradcheck_at_full_rank(unfold, options, shape):
    maps = torch.tensor(normal(*shape), requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: semantic_perception_scale(z, unfold=unfold, chunk=7, **options), maps
    )


def test_gradcheck_of_the_energies():
    maps = torch.tensor(normal(3, 2, 4), requires_grad=True)
    for power in (1, 2, 3):
        assert torch.autograd.gradcheck(
            lambda z, power=power: singular_value_energies(z, power=power), maps
        )


def hard_maps():
    full = torch.tensor(normal(6, 5, 4))
    gone = full.clone()
    gone[2:4] = 0
    return {
        "zeros": torch.zeros(6, 5, 4),
        "ones": torch.ones(6, 5, 4),
        "zero slices": gone,
        "rank 2": torch.einsum("ir,rhw->ihw", full[:, :2, 0], full[:2]),
        "equal values": torch.eye(6, 20).reshape(6, 5, 4),
        "one voxel": torch.eye(1)
        .new_zeros(6, 5, 4)
        .index_fill(0, torch.tensor([0]), 0)
        .add(gone * (gone > 1.5)),
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [{}, {"power": 1}, {"definition": "official"}, {"center": True}, {"rank": "numerical"}, {"power": 0.5}],
)
def test_gradient_is_finite_on_hard_maps(dtype, options):
    for name, values in hard_maps().items():
        maps = values.detach().clone().to(dtype).requires_grad_()
        scale = semantic_perception_scale(maps, **options)
        scale.backward()
        assert maps.grad.dtype == dtype
        assert bool(torch.isfinite(maps.grad).all()), name
        assert 0 <= float(scale.detach()) <= 1, name


def test_gradient_climbs():
    maps = torch.tensor(normal(5, 6, 7), dtype=torch.float32)
    maps[1:] *= 0.1
    start = float(semantic_perception_scale(maps))
    for _ in range(20):
        maps.requires_grad_()
        (slope,) = torch.autograd.grad(semantic_perception_scale(maps), maps)
        maps = (maps + 5 * slope).detach()
    assert float(semantic_perception_scale(maps)) > start + 0.05


def test_autocast_does_not_reach_the_products():
    maps = torch.tensor(normal(8, 9, 10), dtype=torch.float32, requires_grad=True)
    plain = semantic_perception_scale(maps)
    (expected,) = torch.autograd.grad(plain, maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scale = semantic_perception_scale(maps)
        (slope,) = torch.autograd.grad(scale, maps)
    assert float(scale.detach()) == float(plain.detach())
    assert torch.equal(slope, expected)


def test_tensor_subclass():
    class Tagged(torch.Tensor):
        """As MONAI's MetaTensor: results keep the type unless told otherwise."""

    maps = torch.tensor(normal(4, 5, 6))
    scale = semantic_perception_scale(maps.as_subclass(Tagged))
    assert type(scale) is torch.Tensor
    assert float(scale) == float(semantic_perception_scale(maps))


def test_views_are_read_in_place():
    volume = normal(12, 10, 8)
    for view in (volume[::2], volume[:, ::-1], volume.transpose(2, 0, 1), volume[:, 1:7, 2:]):
        expected = semantic_perception_scale(np.ascontiguousarray(view))
        np.testing.assert_allclose(semantic_perception_scale(view), expected, atol=1e-13)


@pytest.mark.parametrize("options", [{}, {"definition": "official"}, {"center": True}, {"unfold": "h_dw"}])
def test_memory_does_not_grow_with_the_map(options):
    import tracemalloc

    maps = np.random.default_rng(0).standard_normal((32, 256, 512), dtype=np.float32)  # 17 MB
    for array in (maps, maps.astype(np.float16)):
        tracemalloc.start()
        semantic_perception_scale(array, chunk=2**18, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10e6


def test_numpy_users_do_not_pay_for_torch():
    code = (
        "import sys, numpy as np; from aleaseg.spectral import semantic_perception_scale as s;"
        "import aleaseg.measures.auv, aleaseg.measures.variance;"
        "s(np.eye(4).reshape(4, 2, 2)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
