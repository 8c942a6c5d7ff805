"""How good pictures are that a network made up, seen by a classifier of real ones. No torch."""

from __future__ import annotations

import numpy as np

from steelyard.errors import DataError
from steelyard.records.engine import Array

_TINY = 1e-12


def classifier_score(probabilities: Array) -> float:
    """exp of the mean over items of KL(p(class | item) ‖ p(class)); `probabilities` float [items, classes].

    T. Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016 (arXiv 1606.03498): the inception score,
    there by Inception. From 1 to the number of classes.
    """
    shares = np.asarray(probabilities, np.float64)
    mean = shares.mean(0, keepdims=True)
    apart = (shares * (np.log(shares + _TINY) - np.log(mean + _TINY))).sum(1)
    return float(np.exp(apart.mean()))


def frechet_distance(one: Array, other: Array) -> float:
    """|μ₁ − μ₂|² + Tr(C₁ + C₂ − 2 (C₁ C₂)^½) of two sets of features, float [items, features].

    M. Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017 (arXiv 1706.08500), there by
    Inception; the distance of normal distributions is D. Dowson, B. Landau, Journal of Multivariate Analysis 12, 1982.
    It grows as sets get smaller: compare sets of equal sizes. Raises DataError for sets of fewer than two items.
    """
    if min(len(one), len(other)) < 2:
        raise DataError(f"a distance needs two items or more on both sides, got {len(one)} and {len(other)}")
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    covariance, other_covariance = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second))
    # Tr (C₁ C₂)^½ by the eigenvalues of C₁^½ C₂ C₁^½, which are those of C₁ C₂ and whose matrix is symmetric.
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ other_covariance @ root).clip(min=0)).sum()
    return float(apart + np.trace(covariance) + np.trace(other_covariance) - 2 * shared)
