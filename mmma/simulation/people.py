"""Who is filmed: pools of persons, each in one domain and one subset of both tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmma.simulation.margins import apportion
from mmma.simulation.scales import ROWS, published_clips
from mmma.taxonomy import DOMAINS, SUBSETS, load_statistics

_STREAM = 3  # of the seed; 1 and 2 are the tasks


@dataclass(frozen=True)
class Person:
    """A person of a pool.

    Attributes:
        name: As written in the tables.
        seed: What the figure is made from.
    """

    name: str
    seed: int


@dataclass(frozen=True)
class Pools:
    """Persons per row of ``ROWS``; no person is in two rows.

    Attributes:
        rec: Persons of the trimmed clips.
        det: Persons of the untrimmed videos, taken from the same row of ``rec``.
    """

    rec: tuple[tuple[Person, ...], ...]
    det: tuple[tuple[Person, ...], ...]


def make_pools(clips: np.ndarray, videos: np.ndarray, seed: int) -> Pools:
    """Divide the published pools among the subsets.

    A subset has persons in proportion to its published clips, but never more than one
    for two of its clips or videos, which at full scale binds nowhere.

    Args:
        clips: (12,) clips per row.
        videos: (12,) videos per row.
        seed: Seed of the corpus.
    """
    statistics = load_statistics()
    people = np.array([statistics['rec'][domain]['subjects'] for domain in DOMAINS])
    rec = np.minimum(_by_subset(people), np.maximum(clips // 2, 1))
    filmed = _by_subset(apportion(statistics['det']['subjects'], people))
    det = np.minimum(np.minimum(filmed, rec), np.maximum(videos // 2, 1))
    persons = _persons(rec, seed)
    return Pools(
        rec=persons,
        det=tuple(row[:count] for row, count in zip(persons, det, strict=True)),
    )


def cast(
    persons: tuple[Person, ...], count: int, rng: np.random.Generator
) -> list[Person]:
    """Who appears in each of ``count`` clips: everybody, some more often than others.

    Args:
        persons: The pool, not larger than ``count``.
        count: Number of clips or videos.
        rng: Draws how often, and the order.
    """
    weights = rng.gamma(4.0, size=len(persons))
    more = rng.multinomial(count - len(persons), weights / weights.sum())
    order = np.repeat(np.arange(len(persons)), 1 + more)
    return [persons[i] for i in rng.permutation(order)]


def _by_subset(people: np.ndarray) -> np.ndarray:
    """(4,) persons per domain -> (12,) per row, at least one in each."""
    weights = published_clips().reshape(len(DOMAINS), len(SUBSETS))
    return np.concatenate(
        [apportion(int(n), w, 1) for n, w in zip(people, weights, strict=True)]
    )


def _persons(counts: np.ndarray, seed: int) -> tuple[tuple[Person, ...], ...]:
    rows = []
    number = dict.fromkeys(DOMAINS, 0)
    for (domain, _), count in zip(ROWS, counts, strict=True):
        first = number[domain]
        number[domain] += int(count)
        rows.append(
            tuple(_person(domain, i + 1, seed) for i in range(first, number[domain]))
        )
    return tuple(rows)


def _person(domain: str, number: int, seed: int) -> Person:
    entropy = [seed, _STREAM, DOMAINS.index(domain), number]
    state = np.random.SeedSequence(entropy).generate_state(1)
    return Person(f'{domain}_p{number:03d}', int(state[0]))
