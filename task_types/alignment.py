"""How well the vectors of two languages lie on each other: measures over n pairs of translations, (n, width) each, row i with row i.

Vectors are measured as they are, and twice more: with the mean of each language removed, and without the dimensions of largest absolute
mean, which dominate cosines (Hämmerl et al., 2023, https://arxiv.org/abs/2306.00458).
Both changes look at the very sentences that are measured, never at which of them belong together.
"""

import torch

from metrics import AS_THEY_ARE
from task_types.mining import NEIGHBOURS, top_k_both_ways

OUTLIERS = 3  # dimensions that are left out
CENTRED, NO_OUTLIERS = "means removed", "outliers removed"


def variants(english: torch.Tensor, foreign: torch.Tensor) -> dict[str, tuple]:
    """{what was done: (English vectors, foreign vectors)}, (n, width) each; without outliers (n, width - OUTLIERS)."""
    both = (english.mean(0) + foreign.mean(0)) / 2
    kept = both.abs().argsort(stable=True)[: max(1, len(both) - OUTLIERS)].sort().values
    return {
        AS_THEY_ARE: (english, foreign),
        CENTRED: (english - english.mean(0), foreign - foreign.mean(0)),
        NO_OUTLIERS: (english[:, kept], foreign[:, kept]),
    }


def measures(english: torch.Tensor, foreign: torch.Tensor) -> dict[str, float]:
    """All measures of n pairs.

    accuracy            share of English sentences whose nearest foreign one is their own, 0..100; foreign_to_english: the other way.
    cosine_difference   mean cosine of the pairs, less the mean over all other combinations of the two sides.
    margin              mean over the pairs of their distance margin (Artetxe and Schwenk, 2019): the cosine less the mean of both
                        sentences' cosines with their four nearest neighbours on the other side. Mining uses the ratio of the two; where
                        the means of languages are removed the neighbours' cosines may be near 0, and a mean of ratios is then one outlier.
    anc, isoscore       see there; the latter of both sides together, so that two languages that lie apart are no isotropic cloud.
    Of the products of all sentences only a tile is in memory at a time (`mining.BLOCK`).
    """
    unit, other = (torch.nn.functional.normalize(vectors, dim=-1) for vectors in (english, foreign))
    (forward, found), (backward, found_back) = top_k_both_ways(unit, other, NEIGHBOURS)
    places, n = torch.arange(len(unit)).numpy(), len(unit)
    cosines = (unit * other).sum(-1).double()
    others = (unit.sum(0).double() @ other.sum(0).double() - cosines.sum()) / max(1, n * (n - 1))
    neighbours = torch.from_numpy(forward.mean(1) + backward.mean(1)).to(cosines) / 2
    return {
        "accuracy": 100 * float((found[:, 0] == places).mean()),
        "foreign_to_english": 100 * float((found_back[:, 0] == places).mean()),
        "cosine_difference": float(cosines.mean() - others),
        "margin": float((cosines - neighbours).mean()),
        "anc": anc(english, foreign),
        "isoscore": isoscore(torch.cat([english, foreign])),
    }


def anc(english: torch.Tensor, foreign: torch.Tensor) -> float:
    """Average neuron-wise correlation (Del and Fishel, 2022, https://aclanthology.org/2022.aacl-main.15): the mean over dimensions of
    Pearson's correlation between the two sides, over n pairs.

    Signed, as in the script behind the paper's figures (MaksymDel/xsim, examples/run_analysis_torch_corr.py): others average absolute
    values. A dimension that is constant on one side counts as 0.
    """
    english, foreign = english - english.mean(0), foreign - foreign.mean(0)
    return float(torch.nn.functional.cosine_similarity(english, foreign, dim=0, eps=1e-12).mean())


def isoscore(vectors: torch.Tensor) -> float:
    """IsoScore of a cloud of points (Rudman et al., 2022, https://aclanthology.org/2022.findings-acl.262): 1 where all directions vary
    alike, 0 where only one does; NaN where nothing varies.

    The published steps (principal components, their variances scaled to length sqrt(d), the distance from a vector of ones, rescaled)
    come to (t² / f² - 1) / (d - 1) with the trace t and the Frobenius norm f of the covariance: no eigenvalues are needed. With n points
    the covariance has rank n - 1 at most. Where n is not much larger than d the score is too small: compare clouds of one size.
    """
    n, d = vectors.shape
    centred = vectors - vectors.mean(0)
    centred = centred / centred.abs().max().clamp(min=1e-30)  # squares of squares must not overflow
    product = centred.T @ centred if d < n else centred @ centred.T  # both have the same trace and norm
    trace, squared_norm = product.diagonal().double().sum(), product.double().square().sum()
    return float((trace**2 / squared_norm - 1) / (d - 1))
