"""What samplers read of a data set, and what follows for the weights of its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from numbers import Real
from typing import Any

import numpy as np

from mmma.taxonomy import suggest


def read_domains(dataset: Sized) -> list[str]:
    """Domain of each sample, (n,).

    Raises:
        ValueError: The data set does not list them.
    """
    return list(_column(dataset, 'domains'))


def read_labels(dataset: Sized) -> list[tuple[int, ...]]:
    """Classes of each sample, (n,): of a clip one, of a video those of its instances.

    Returns:
        Ascending class indices, each once.

    Raises:
        ValueError: The data set does not list them, or some are withheld (-1).
    """
    labels = []
    for label in _column(dataset, 'labels'):
        several = isinstance(label, Iterable)
        labels.append(tuple(sorted(map(int, set(label)))) if several else (int(label),))
    withheld = [i for i, classes in enumerate(labels) if classes and classes[0] < 0]
    if withheld:
        raise ValueError(
            f'{len(withheld)} of {len(labels)} samples have no label (the first is '
            f'number {withheld[0]}), so they belong to no class: leave them out '
            '(test_mode=False of ClipDataset does), or use EpochSampler or '
            'DomainBalancedSampler'
        )
    return labels


def _column(dataset: Sized, key: str) -> Sequence[Any]:
    """``dataset.metainfo[key]``, one entry per sample."""
    if hasattr(dataset, 'full_init'):
        dataset.full_init()  # a lazy data set lists its samples only then
    name = type(dataset).__name__
    meta = getattr(dataset, 'metainfo', None) or {}
    if key not in meta:
        raise ValueError(
            f'{name} has no metainfo[{key!r}], one entry per sample, by which this '
            'sampler draws: use ClipDataset, add the list, or use EpochSampler'
        )
    if len(meta[key]) != len(dataset):
        raise ValueError(
            f'{name} has {len(dataset)} samples, but its metainfo[{key!r}] has '
            f'{len(meta[key])}: around a data set that is repeated or joined, samplers '
            'cannot tell what a sample is. Give the sampler the inner data set; '
            '`train_cfg.max_epochs` replaces RepeatDataset, and the domains of one '
            'data set replace ConcatDataset'
        )
    return meta[key]


def class_weights(
    labels: Sequence[tuple[int, ...]], power: float
) -> tuple[list[int], np.ndarray]:
    """Weight of each sample: n**-power, n the samples that have its class.

    Of several classes the rarest counts, as in LVIS's repeat factors. A sample without
    a class weighs as much as one of the most frequent class.

    Args:
        labels: (n,) classes of each sample.
        power: From 0 (all samples alike) to 1.

    Returns:
        The class that counts for each sample, -1 for none, and the weights (n,).

    Source: Gupta et al., 'LVIS', CVPR 2019, section 4.2 (largest factor of an image).
    """
    sizes = Counter(label for classes in labels for label in classes)
    rarest = [min(c, key=lambda k: (sizes[k], k), default=-1) for c in labels]
    most = max(sizes.values(), default=1)
    counts = np.array([sizes.get(label, most) for label in rarest], np.float64)
    return rarest, counts**-power


def domain_shares(
    domains: Sequence[str], power: float, shares: Mapping[str, float] | None
) -> dict[str, float]:
    """Share of each domain in the draws; they add up to 1.

    Args:
        domains: (n,) domain of each sample.
        power: A domain of n samples gets a share in proportion to n**(1 - power): 0 is
            as they are, 1 the same for all.
        shares: The shares themselves, in any unit, instead; 0 leaves a domain out.

    Raises:
        ValueError: A share of a domain that no sample has, a domain without a share, or
            something that is no share.
    """
    sizes = Counter(domains)
    if shares is None:
        shares = {d: n ** (1 - power) for d, n in sizes.items()}
    _check_shares(shares, sizes)
    total = sum(shares.values())
    return {domain: share / total for domain, share in shares.items()}


def _check_shares(shares: Mapping[str, float], sizes: Mapping[str, int]) -> None:
    present = ', '.join(sorted(sizes))
    if not isinstance(shares, Mapping):
        raise ValueError(f'shares {shares!r}: write dict(lab=0.4, street=0.6)')
    for domain, share in shares.items():
        if domain not in sizes:
            raise ValueError(
                f'shares: no sample is of domain {domain!r}; there are samples of '
                f'{present}.{suggest(domain, sizes)} Take it out of the shares, or '
                'train on it (--domain all)'
            )
        if not isinstance(share, Real) or not 0 <= share < float('inf'):
            raise ValueError(f'shares: {domain}={share!r}: use a number from 0')
    lacking = sorted(set(sizes) - set(shares))
    if lacking:
        raise ValueError(
            f'shares: none for {", ".join(lacking)}: give one to each of {present} '
            '(0 leaves a domain out)'
        )
    if not sum(shares.values()):
        raise ValueError('shares: all are 0; give at least one domain a share')
