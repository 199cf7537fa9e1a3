"""Figure 5's planes: against scikit-learn's PCA, the same every time, and groups stay apart."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from aleaseg.reproduce.drawing import half_energy, histograms_svg, scatter_svg, spectra_svg
from aleaseg.reproduce.embedding import principal_plane, standardised, tsne_plane


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 60)) + np.repeat([[0.0], [6.0]], 12, axis=0)


def test_pca_is_scikit_learns_up_to_the_sign(maps):
    ours = principal_plane(maps)
    theirs = PCA(2).fit_transform(maps)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-9)
    # The sign is of the map, not of the order of the cases.
    order = np.random.default_rng(1).permutation(len(maps))
    assert np.allclose(principal_plane(maps[order]), ours[order], atol=1e-9)


def test_fewer_cases_than_axes():
    assert principal_plane([[1.0, 2.0, 3.0]]).tolist() == [[0.0, 0.0]]
    assert standardised([[1.0, 5.0], [3.0, 5.0]]).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_tsne_is_the_same_again_and_keeps_groups_apart(maps):
    plane = tsne_plane(maps)
    assert np.array_equal(plane, tsne_plane(maps))
    first, second = plane[:12], plane[12:]
    apart = np.linalg.norm(first.mean(0) - second.mean(0))
    within = max(np.linalg.norm(side - side.mean(0), axis=1).mean() for side in (first, second))
    assert apart > within
    with pytest.raises(ValueError, match="at least 5"):
        tsne_plane(maps[:4])


def test_drawings_are_whole_and_name_their_cases(maps):
    svg = scatter_svg(
        "a <class>",
        principal_plane(maps),
        [*np.linspace(0, 1, 23), np.nan],
        list("abcdefghijklmnopqrstuvwx"),
    )
    assert svg.count("<circle") == 24
    assert "a &lt;class&gt;" in svg
    assert "#999999" in svg
    curves = [{"which": "fastest", "case": "c", "hash": "", "s": 0.1, "energies": [0.9, 0.1, 0.0]}]
    assert "half at 1" in spectra_svg("x", curves)
    entry = {"class": "", "counts": [0, 3, 1], "n": 4, "median": 0.4}
    assert "4 cases, median 0.40" in histograms_svg("x", entry)


def test_half_of_the_energy():
    assert [half_energy(e) for e in ([1.0], [0.5, 0.5], [0.3, 0.3, 0.2, 0.2])] == [1, 1, 2]
