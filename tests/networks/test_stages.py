"""Which axis is halved where, held against nnU-Net's own planner."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aleaseg.errors import UsageError
from aleaseg.networks.stages import given_stages, plan_stages

# Edges that are never 6 on their way down, at which the planner here takes one step more than nnU-Net's.
EDGES = (8, 14, 16, 20, 28, 32, 40, 56, 64, 80, 112, 128, 160, 224, 256, 320)
SPACINGS = (0.5, 0.7, 0.8, 1.0, 1.37, 1.6, 2.5, 3.0, 5.0, 10.0)


def pair(dims):
    return st.tuples(*[st.sampled_from(EDGES)] * dims), st.tuples(*[st.sampled_from(SPACINGS)] * dims)


@settings(deadline=None)
@given(st.sampled_from((2, 3)).flatmap(lambda dims: st.tuples(*pair(dims))))
def test_as_nnunet_plans(drawn):
    topology = pytest.importorskip("nnunetv2.experiment_planning.experiment_planners.network_topology")
    patch, spacing = drawn
    _, strides, kernels, whole, divisor = topology.get_pool_and_conv_props(spacing, patch, 4, 999999)
    if len(strides) == 1:
        with pytest.raises(UsageError, match="too small for a U-Net"):
            plan_stages(patch, spacing)
    elif tuple(whole) != patch:
        with pytest.raises(UsageError, match="is not divisible by"):
            plan_stages(patch, spacing)
    else:
        stages = plan_stages(patch, spacing)
        assert stages.strides == tuple(map(tuple, strides))
        assert stages.kernels == tuple(map(tuple, kernels))
        assert stages.divisor == tuple(divisor)


@settings(deadline=None)
@given(
    st.sampled_from((2, 3)).flatmap(
        lambda dims: st.tuples(
            st.tuples(*[st.integers(1, 300)] * dims), st.tuples(*[st.floats(0.2, 12)] * dims)
        )
    )
)
def test_a_patch_that_is_named_instead_fits(drawn):
    patch, spacing = drawn
    try:
        stages = plan_stages(patch, spacing)
    except UsageError as error:
        if "too small" in str(error):
            return
        named = str(error).rpartition("the nearest that fit: ")[2].split(" or ")
        assert len(named) <= 2
        for one in named:
            edges = tuple(map(int, one.split(" x ")))
            assert edges != patch
            divisor = plan_stages(edges, spacing).divisor
            assert not any(edge % by for edge, by in zip(edges, divisor, strict=True))
        below, above = named[0], named[-1]
        assert math.prod(map(int, below.split(" x "))) <= math.prod(patch)
        assert math.prod(map(int, above.split(" x "))) >= math.prod(patch)
    else:
        assert not any(edge % by for edge, by in zip(patch, stages.divisor, strict=True))


def test_the_papers_patch_has_six_stages():
    stages = plan_stages((96, 96, 96), (1.0, 1.0, 1.0))
    assert stages.strides == ((1, 1, 1), *((2, 2, 2),) * 5)
    assert stages.kernels == ((3, 3, 3),) * 6
    assert stages.divisor == (32, 32, 32)


def test_thick_slices_wait():
    stages = plan_stages((16, 256, 224), (6.0, 1.0, 1.0))
    assert stages.strides[:4] == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2))
    assert stages.kernels[:4] == ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))


def test_no_more_stages_than_asked_for():
    assert len(plan_stages((96, 96, 96), (1.0,) * 3, most=4)) == 4
    assert plan_stages((40, 40, 40), (1.0,) * 3, most=2).divisor == (2, 2, 2)


@pytest.mark.parametrize(
    ("patch", "spacing", "said"),
    [
        (
            (44, 56, 40),
            (1.0, 1.0, 1.0),
            "a patch of 44 x 56 x 40 is not divisible by 8 x 8 x 8, as its network would halve it; the nearest that "
            "fit: 40 x 56 x 40 or 48 x 56 x 40",
        ),
        (
            (5, 5, 7),
            (1.0, 1.0, 1.0),
            "a patch of 5 x 5 x 7 is too small for a U-Net; expected 12 voxels or more along an axis (or 8 along two) "
            "whose spacing is not twice the finest",
        ),
    ],
)
def test_what_is_said_of_a_patch_that_does_not_fit(patch, spacing, said):
    with pytest.raises(UsageError) as caught:
        plan_stages(patch, spacing)
    assert str(caught.value) == said


def test_given_strides():
    stages = given_stages([[1, 1], [1, 2], [2, 2]], (4, 8), (2.0, 1.0))
    assert stages.strides == ((1, 1), (1, 2), (2, 2))
    assert stages.kernels == ((1, 3), (3, 3), (3, 3))
    with pytest.raises(UsageError, match="two stages at least, the first of them all 1"):
        given_stages([[2, 2], [2, 2]], (8, 8), (1.0, 1.0))
    with pytest.raises(UsageError) as caught:
        given_stages([[1, 1], [1, 2], [2, 2]], (1, 6), (1.0, 1.0))
    assert str(caught.value) == (
        "a patch of 1 x 6 is not divisible by 2 x 4, as the strides ask for; the nearest that fit: 2 x 4 or 2 x 8"
    )
    with pytest.raises(UsageError, match="a patch of 2 x 4 is one voxel at the bottom"):
        given_stages([[1, 1], [1, 2], [2, 2]], (2, 4), (1.0, 1.0))
