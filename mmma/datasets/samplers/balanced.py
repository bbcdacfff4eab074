"""Samplers that give domains or classes other shares than the data set does.

All draw by :class:`GroupedDraws`: shares hold in every epoch up to rounding, and the
samples of a group are drawn equally often. Labels are one per clip, or several per
video (detection), where the rarest class of a video counts (:func:`class_weights`).

An epoch has as many draws as the data set has samples. Each takes the arguments of
:class:`EpochSampler`; without ``shuffle`` the draws of each epoch come in the order of
the data set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np

from mmma.datasets.samplers.columns import (
    class_weights,
    domain_shares,
    read_domains,
    read_labels,
)
from mmma.datasets.samplers.draws import check_power, grouped_draws
from mmma.datasets.samplers.epoch import EpochSampler
from mmma.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class DomainBalancedSampler(EpochSampler):
    """Each domain has the same share of an epoch, or a given one.

    Args:
        dataset: Lists ``domains`` in its ``metainfo``.
        power: A domain of n samples has a share in proportion to n**(1 - power):
            0 is plain, 0.5 the square root, 1 (default) the same for all.
        shares: Share of each domain instead, as ``dict(lab=.4, street=.6)``, in any
            unit; 0 leaves a domain out.
        **kwargs: As in :class:`EpochSampler`.

    Raises:
        ValueError: The data set does not list domains; or ``power`` or ``shares``
            do not fit.
    """

    def __init__(
        self,
        dataset: Sized,
        power: float | None = None,
        shares: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, **kwargs)
        if power is not None and shares is not None:
            raise ValueError(f'power {power!r} and shares: give one of them, not both')
        power = check_power('power', 1.0 if power is None else power)
        domains = read_domains(dataset)
        share = domain_shares(domains, power, shares)
        sizes = Counter(domains)
        weights = np.array([share[d] / sizes[d] for d in domains])
        self.draws = grouped_draws([(d,) for d in domains], weights, len(dataset))


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(EpochSampler):
    """A sample is drawn in proportion to n**-power, n the size of its class.

    So a class of n clips has a share in proportion to n**(1 - power). Of a video of
    several classes the rarest counts, n being the videos that have it; one without
    instances is drawn as often as one of the most frequent class.

    Args:
        dataset: Lists ``labels`` in its ``metainfo``.
        power: 0 is plain, 0.5 the square root, 1 (default) all classes equally often.
        **kwargs: As in :class:`EpochSampler`.

    Raises:
        ValueError: The data set does not list labels, or some are withheld; or
            ``power`` does not fit.
    """

    def __init__(
        self,
        dataset: Sized,
        power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, **kwargs)
        power = check_power('power', power)
        classes, weights = class_weights(read_labels(dataset), power)
        self.draws = grouped_draws([(c,) for c in classes], weights, len(dataset))


@DATA_SAMPLERS.register_module()
class ClassBalancedWithinDomainSampler(EpochSampler):
    """As :class:`ClassBalancedSampler` inside each domain; domains keep their share.

    Args:
        dataset: Lists ``domains`` and ``labels`` in its ``metainfo``.
        power: Of classes; n counts the samples of the domain.
        domain_power: Of domains, as ``power`` of :class:`DomainBalancedSampler`, but
            0 by default.
        shares: Share of each domain instead of a ``domain_power``.
        **kwargs: As in :class:`EpochSampler`.

    Raises:
        ValueError: The data set does not list domains and labels, or some are withheld;
            or ``power``, ``domain_power`` or ``shares`` do not fit.
    """

    def __init__(
        self,
        dataset: Sized,
        power: float = 1.0,
        domain_power: float | None = None,
        shares: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, **kwargs)
        power = check_power('power', power)
        if domain_power is not None and shares is not None:
            raise ValueError(
                f'domain_power {domain_power!r} and shares: give one of them, not both'
            )
        domain_power = check_power('domain_power', domain_power or 0.0)
        domains, labels = read_domains(dataset), read_labels(dataset)
        groups: list[Any] = [None] * len(domains)
        weights = np.zeros(len(domains))
        for domain, share in domain_shares(domains, domain_power, shares).items():
            inside = [i for i, d in enumerate(domains) if d == domain]
            classes, weight = class_weights([labels[i] for i in inside], power)
            weights[inside] = share * weight / weight.sum()
            for i, label in zip(inside, classes, strict=True):
                groups[i] = (domain, label)
        self.draws = grouped_draws(groups, weights, len(dataset))
