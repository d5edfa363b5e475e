"""How well labels can be read off an encoder's vectors, without training: LogME and the H-score, over n vectors of width d.

Both say how good a linear head on frozen vectors could be. Higher is better. They compare encoders on the same rows and labels only.
"""

import numpy as np


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME (You et al., 2021, https://proceedings.mlr.press/v139/you21b.html): the maximum of log p(labels | features) / n over both
    precisions of a Bayesian linear regression, as a mean over classes, each against the rest.

    features (n, d); labels (n,) integers. The fixed-point iteration is MacKay's, run until the evidence stands still.
    """
    features = np.asarray(features, dtype=np.float64)
    u, singular, _ = np.linalg.svd(features, full_matrices=False)
    eigenvalues = singular**2
    classes = np.unique(labels)
    return float(np.mean([evidence((labels == name).astype(np.float64), u, eigenvalues, *features.shape) for name in classes]))


def evidence(y: np.ndarray, u: np.ndarray, eigenvalues: np.ndarray, n: int, d: int) -> float:
    """The maximal log evidence / n of one regression. u (n, k), eigenvalues (k,): of features @ features.T, k = min(n, d)."""
    projected = (u.T @ y) ** 2
    outside = max(0.0, float(y @ y - projected.sum()))  # of y that no feature reaches
    alpha, beta, best = 1.0, 1.0, -np.inf  # precisions of the weights and of the noise
    for _ in range(1000):
        shrink = alpha / (alpha + beta * eigenvalues)
        weights = float((projected * (1 - shrink) ** 2 / np.maximum(eigenvalues, 1e-300)).sum())
        residual = float((projected * shrink**2).sum()) + outside
        value = (
            d * np.log(alpha) + n * np.log(beta) - np.log(alpha + beta * eigenvalues).sum() - max(0, d - len(eigenvalues)) * np.log(alpha)
            - beta * residual - alpha * weights - n * np.log(2 * np.pi)
        ) / (2 * n)  # fmt: skip
        if abs(value - best) < 1e-12:
            break
        best = value
        used = float((1 - shrink).sum())
        alpha, beta = used / max(weights, 1e-12), (n - used) / max(residual, 1e-12)
    return value


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score (Bao et al., ICIP 2019, http://yangli-feasibility.com/home/media/icip-19.pdf): tr(cov(f)^-1 cov(E[f | y])).

    From 0 to the number of classes less 1. With no more rows than dimensions it is at its maximum whatever the labels are: there
    `shrunk_h_score` is of use.
    """
    features = np.asarray(features, dtype=np.float64)
    return float(np.trace(np.linalg.pinv(np.cov(features, rowvar=False), hermitian=True) @ between(features, labels)))


def shrunk_h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """The H-score with Ledoit and Wolf's shrunk covariance (Ibrahim et al., 2021, https://openreview.net/forum?id=iz_Wwmfquno):
    tr(cov_s(f)^-1 (1 - s) cov(E[f | y])) with the shrinkage s."""
    from sklearn.covariance import ledoit_wolf  # takes a second to import

    features = np.asarray(features, dtype=np.float64)
    covariance, shrinkage = ledoit_wolf(features)
    return float((1 - shrinkage) * np.trace(np.linalg.solve(covariance, between(features, labels))))


def between(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The covariance (d, d) of the features where each is replaced by the mean of its class."""
    means = np.empty_like(features)
    for name in np.unique(labels):
        means[labels == name] = features[labels == name].mean(0)
    return np.cov(means, rowvar=False)
