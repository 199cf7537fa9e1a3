"""From a class map to its semantic perception scale S.

The method of "Delving Aleatoric Uncertainty in Medical Image Segmentation via
Vision Foundation Models" (arXiv 2604.10963), section 3. A frozen network decodes
one map Z_c (D, H, W) per case and class, and the map is read as a matrix:

    Z_c in R^{D x H x W}  ->  z_c in R^{D x (H W)}            unfolding
    z_c  <-  z_c - mean(z_c)                          (2)     only with `center=True`
    z_c  =   U diag(s_1 >= ... >= s_r) V^T            (3)     r = min(D, H W)
    p_j  =   s_j^2 / (sum_k s_k^2 + eps)              (4)     normalised energies
    S    =  -sum_j p_j ln p_j / ln r                  (5)     in [0, 1]

S = 1 where all directions carry the same energy, S = 0 where one carries all of
it. High S = certain (in the paper's reading).

The singular values never come from a decomposition of the long matrix: s_j^2 are
the eigenvalues of its smaller Gram matrix (D x D, say), which is summed up block
by block. Products are taken in the precision of the input, sums and eigenvalues
in float64. Amplitudes (power 1) are roots of those eigenvalues, and a root halves
the digits, so there the products are float64 as well; for float64 input even that
is too little, and a blockwise QR takes the place of the Gram matrix.

One code serves NumPy and PyTorch; PyTorch is never imported here, a tensor brings it.

    scale           S and the energies: what is called from outside
    spectrum        squared singular values, in range and differentiable
    decomposition   Gram matrix, QR, eigenvalues, and their gradient
    unfolding       how a map is cut into the blocks of its matrix
    arrays          the few things that NumPy and PyTorch spell differently
"""

from __future__ import annotations

from aleaseg.spectral.scale import Definition as Definition
from aleaseg.spectral.scale import semantic_perception_scale as semantic_perception_scale
from aleaseg.spectral.scale import singular_value_energies as singular_value_energies
from aleaseg.spectral.unfolding import Unfolding as Unfolding
