"""Samplers: samples of an epoch and their order, plain or with balanced shares.

An epoch has as many draws as the data set has samples, each given ``repeats`` times.
All take the arguments of :class:`EpochSampler`; without ``shuffle`` draws come in the
order of the data set.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import DefaultSampler

from mmma.registry import DATA_SAMPLERS
from mmma.taxonomy import suggest


class SampleKey(NamedTuple):
    """One sample of one epoch; everything random about it is a function of this.

    ``repeat`` is how often the index has come before in the same epoch, for samplers
    that draw with replacement or give draws several times.
    """

    seed: int
    epoch: int
    index: int
    repeat: int = 0


_OFFSETS = 2**20  # places of the grid on which the rounding of an epoch starts
_STEP = 648055  # _OFFSETS by the golden ratio, odd: epochs visit the grid evenly


class GroupedDraws:
    """Draws that give each group its share of every epoch, up to rounding.

    A group of expected e draws has floor(e) or ceil(e) in an epoch, and e in the mean
    of many; so has any run of consecutive groups, such as the classes of a domain.

    Inside a group, samples take turns in a random cyclic order that goes on over the
    epochs: none is drawn again before each of the others has been drawn, in every
    stretch of epochs. All depends on seed and epoch alone.

    Groups (n,) are what samples have in common, as (domain, class); those that begin
    alike stay together and their total is as exact as each. Weights (n,) are equal
    inside a group, not negative, at least one above 0; an epoch has ``length`` draws.

    Source: systematic sampling (Madow, 'On the Theory of Systematic Sampling, II',
    Annals of Mathematical Statistics 1949), over groups.
    """

    def __init__(self, groups: Sequence[Any], weights: np.ndarray, length: int) -> None:
        places = {group: place for place, group in enumerate(sorted(set(groups)))}
        self.group_of = np.array([places[group] for group in groups])
        self.sizes = np.bincount(self.group_of)  # (G,)
        self.length = length
        ends = np.cumsum(np.bincount(self.group_of, weights=weights))
        # Whole numbers stay whole: an even split must not be rounded at random.
        self._ends = np.round(np.r_[0, ends / ends[-1] * length], 9)  # (G + 1,)

    def counts(self, seed: int, epochs: int | np.ndarray) -> np.ndarray:
        """Draws of each group, int64, adding up to ``length``.

        (E, G) for (E,) numbers of epochs, (G,) for one.
        """
        first = _rng(seed).integers(_OFFSETS)
        places = (first + np.asarray(epochs, np.int64) * _STEP) % _OFFSETS
        ends = np.floor(self._ends + places[..., None] / _OFFSETS)
        return np.diff(ends).astype(np.int64)

    def indices(self, seed: int, epoch: int) -> np.ndarray:
        """Samples drawn in an epoch, (length,), ascending, with repeats."""
        now = self.counts(seed, epoch)
        before = self.counts(seed, np.arange(epoch)).sum(axis=0)
        shuffled = _rng(seed).permutation(len(self.group_of))
        turns = shuffled[np.argsort(self.group_of[shuffled], kind='stable')]
        group = np.repeat(np.arange(len(now)), now)  # (length,)
        drawn = np.arange(self.length) - np.repeat(np.cumsum(now) - now, now)
        turn = (before[group] + drawn) % self.sizes[group]
        starts = np.cumsum(self.sizes) - self.sizes
        return np.sort(turns[starts[group] + turn])


def _rng(seed: int) -> np.random.Generator:
    """Generator of the run, kept apart from [seed, epoch], that of the shuffling."""
    return np.random.default_rng([seed, 0, 1])


def _check_power(name: str, power: float) -> float:
    if isinstance(power, Real) and not isinstance(power, bool) and 0 <= power <= 1:
        return float(power)
    raise ValueError(
        f'{name} {power!r}: use a number from 0 (as often as they are) over 0.5 '
        '(square root) to 1 (all equally often)'
    )


def read_labels(dataset: Sized) -> list[tuple[int, ...]]:
    """Ascending classes of each sample, (n,): of a clip one, of a video several.

    ValueError: the data set does not list them, or some are withheld (-1).
    """
    labels = []
    for label in read_column(dataset, 'labels'):
        several = label if isinstance(label, Iterable) else (label,)
        labels.append(tuple(sorted(map(int, set(several)))))
    withheld = [i for i, classes in enumerate(labels) if classes and classes[0] < 0]
    if withheld:
        raise ValueError(
            f'{len(withheld)} of {len(labels)} samples have no label (the first is '
            f'number {withheld[0]}), so they belong to no class: leave them out '
            '(test_mode=False of ClipDataset does), or use EpochSampler or '
            'DomainBalancedSampler'
        )
    return labels


def read_column(dataset: Sized, key: str) -> Sequence[Any]:
    """``dataset.metainfo[key]``, one entry per sample; without, ValueError."""
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


def class_power(sampler: Mapping[str, Any]) -> float | None:
    """Power p of what a sampler of a config draws of a class of n samples: n**p.

    1 for a plain sampler, less for one that balances, None for an unknown one.
    """
    kind = DATA_SAMPLERS.get(sampler['type'])
    if issubclass(kind, ClassBalancedSampler | ClassBalancedWithinDomainSampler):
        return 1 - sampler.get('power', 1.0)
    return 1.0 if issubclass(kind, DefaultSampler) else None


def class_weights(
    labels: Sequence[tuple[int, ...]], power: float
) -> tuple[list[int], np.ndarray]:
    """Weight of each sample: n**-power, n the samples that have its class.

    Of several classes the rarest counts, as in LVIS's repeat factors; none weighs as
    the most frequent one. Gives the class that counts for each sample, -1 for none, and
    the weights (n,). The power is from 0, all samples alike, to 1.

    Source: Gupta et al., 'LVIS', CVPR 2019, section 4.2 (largest factor of an image).
    """
    sizes = Counter(label for classes in labels for label in classes)
    rarest = [min(c, key=lambda k: (sizes[k], k), default=-1) for c in labels]
    most = max(sizes.values(), default=1)
    counts = np.array([sizes.get(label, most) for label in rarest], np.float64)
    return rarest, counts**-power


def domain_shares(
    domains: Sequence[str],
    power: float | None,
    shares: Mapping[str, float] | None,
    default: float = 1.0,
    name: str = 'power',
) -> dict[str, float]:
    """Share of each domain in the draws; they add up to 1.

    Args:
        domains: (n,) domain of each sample.
        power: A domain of n samples gets a share in proportion to n**(1 - power): 0 is
            as they are, 1 the same for all. It is called ``name`` in messages, and is
            ``default`` where neither is given.
        shares: The shares themselves, in any unit, instead; 0 leaves a domain out.

    Raises:
        ValueError: Both, or a bad power; a share of a domain that no sample has, a
            domain without a share, or something that is no share.
    """
    if power is not None and shares is not None:
        raise ValueError(f'{name} {power!r} and shares: give one of them, not both')
    power = _check_power(name, default if power is None else power)
    sizes = Counter(domains)
    present = ', '.join(sorted(sizes))
    if shares is None:
        shares = {d: n ** (1 - power) for d, n in sizes.items()}
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
    total = sum(shares.values())
    if not total:
        raise ValueError('shares: all are 0; give at least one domain a share')
    return {domain: share / total for domain, share in shares.items()}


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """Every sample once per epoch, in an order that depends on seed and epoch alone.

    Each process computes the order of the whole epoch and takes every ``world size``-th
    sample, so that the samples of a step are the same for any world size with the same
    total batch. The first samples are repeated until all processes have equally many;
    in evaluation the metric drops the copies.

    Args:
        shuffle: Shuffle anew in each epoch.
        seed: Same in all processes; None lets them agree on a random one.
        repeats: Give each draw so often in a row, every time with other random numbers
            (repeated augmentation): in the same step if its samples are a multiple.

    Raises:
        ValueError: ``repeats`` below 1.
    """

    draws: GroupedDraws | None = None  # every sample once

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        repeats: int = 1,
    ) -> None:
        if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
            raise ValueError(f'repeats {repeats!r}: use a whole number from 1')
        if hasattr(dataset, 'full_init'):
            dataset.full_init()  # before its length is asked for
        super().__init__(dataset, shuffle, seed)
        self.repeats = repeats

    def epoch_order(self) -> np.ndarray:
        """Indices of the whole epoch, (n * repeats,), the same in every process."""
        if self.draws is None:
            drawn = np.arange(len(self.dataset))
        else:
            drawn = self.draws.indices(self.seed, self.epoch)
        if self.shuffle:
            rng = np.random.default_rng([self.seed, self.epoch])
            drawn = drawn[rng.permutation(len(drawn))]
        return np.repeat(drawn, self.repeats)

    def __iter__(self) -> Iterator[SampleKey]:
        order, seen = self.epoch_order().tolist(), defaultdict(itertools.count)
        keys = [SampleKey(self.seed, self.epoch, i, next(seen[i])) for i in order]
        for i in range(len(self)):
            yield keys[(self.rank + i * self.world_size) % len(keys)]

    def __len__(self) -> int:
        return -(-len(self.dataset) * self.repeats // self.world_size)


@DATA_SAMPLERS.register_module()
class DomainBalancedSampler(EpochSampler):
    """Each domain has the same share of an epoch, or one by :func:`domain_shares`."""

    def __init__(
        self,
        dataset: Sized,
        power: float | None = None,
        shares: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dataset, **kwargs)
        domains = read_column(dataset, 'domains')
        share = domain_shares(domains, power, shares)
        sizes = Counter(domains)
        weights = np.array([share[d] / sizes[d] for d in domains])
        self.draws = GroupedDraws(domains, weights, len(dataset))


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(EpochSampler):
    """Samples weigh as :func:`class_weights` says.

    So a class of n clips has a share in proportion to n**(1 - power): 0 is plain, 0.5
    the square root, 1 all classes equally often.

    Raises:
        ValueError: As :func:`read_labels`, or ``power`` does not fit.
    """

    def __init__(self, dataset: Sized, power: float = 1.0, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        power = _check_power('power', power)
        classes, weights = class_weights(read_labels(dataset), power)
        self.draws = GroupedDraws(classes, weights, len(dataset))


@DATA_SAMPLERS.register_module()
class ClassBalancedWithinDomainSampler(EpochSampler):
    """:class:`ClassBalancedSampler` inside each domain; domains keep their share.

    They do unless ``domain_power`` or ``shares``, as of :func:`domain_shares`, say
    otherwise; n counts the samples of the domain.
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
        power = _check_power('power', power)
        domains, labels = read_column(dataset, 'domains'), read_labels(dataset)
        share_of = domain_shares(domains, domain_power, shares, 0.0, 'domain_power')
        groups: list[Any] = [None] * len(domains)
        weights = np.zeros(len(domains))
        for domain, share in share_of.items():
            inside = [i for i, d in enumerate(domains) if d == domain]
            classes, weight = class_weights([labels[i] for i in inside], power)
            weights[inside] = share * weight / weight.sum()
            for i, label in zip(inside, classes, strict=True):
                groups[i] = (domain, label)
        self.draws = GroupedDraws(groups, weights, len(dataset))
