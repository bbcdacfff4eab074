"""Which results are seeds of one recipe, and which only look so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmma.reporting.results import Entry

_RECIPE = (
    'model',
    'pretrained',
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'test_dataloader.dataset.pipeline',
)
_NO_RECIPE = (
    'data_root',
    'domains',
    'subset',
    'on_broken',
    'num_workers',
    'persistent_workers',
    'serialize_data',
    'seed',
)
_ABSENT = 'absent'


@dataclass(frozen=True)
class Sample:
    """One row of a results file.

    Attributes:
        entry: The results.
        run: The row, an item of their ``runs``.
    """

    entry: Entry
    run: dict[str, Any]

    @property
    def seed(self) -> int:
        """Seed of the training, or of the support draws."""
        return int(self.entry.results['protocol'].get('seed', 0))

    @property
    def subset(self) -> str:
        """``test`` or ``val``."""
        options = self.entry.results['options']
        return str(self.run.get('subset') or options.get('subset', 'test'))

    @property
    def checkpoint(self) -> str | None:
        """SHA-256 of the weights, if the results say."""
        found: str | None = self.entry.results['checkpoint'].get('sha256')
        return found


def take_samples(
    samples: Sequence[Sample], where: str, shared: bool
) -> dict[int, list[Sample]]:
    """Sort the rows of one cell by seed.

    Args:
        samples: Of one model, place, setting and subset.
        where: What they are, for messages.
        shared: Whether several results files may hold the same row of the same
            weights, as zero-shot rows beside few-shot rows; the first is kept.

    Returns:
        Seed to its rows: one, or one per support draw.

    Raises:
        ValueError: A seed in two results files, or weights under two seeds.
    """
    by_seed: dict[int, list[Sample]] = {}
    for sample in samples:
        kept = by_seed.setdefault(sample.seed, [])
        if not kept or kept[0].entry is sample.entry:
            kept.append(sample)
        elif not (shared and kept[0].checkpoint == sample.checkpoint is not None):
            raise ValueError(
                f'{where}: seed {sample.seed} is in {kept[0].entry.files[0]} and in '
                f'{sample.entry.files[0]}. Name one of them, or give their rows names '
                'of their own: NAME=results.json.'
            )
    owners: dict[str, int] = {}
    for seed, kept in by_seed.items():
        checkpoint = kept[0].checkpoint
        if checkpoint and owners.setdefault(checkpoint, seed) != seed:
            raise ValueError(
                f'{where}: seeds {owners[checkpoint]} and {seed} tested the same '
                'weights, so they say nothing of the spread over trainings. Train '
                'with each seed; for more support draws use --runs.'
            )
    return dict(sorted(by_seed.items()))


def check_weights(by_subset: Mapping[str, Sequence[Sample]], where: str) -> None:
    """Val and test of one seed are of the same weights.

    Args:
        by_subset: Subset to the rows of its cell.
        where: What they are, for messages.

    Raises:
        ValueError: They are not.
    """
    first: dict[int, Sample] = {}
    for sample in (s for samples in by_subset.values() for s in samples):
        other = first.setdefault(sample.seed, sample)
        left, right = other.checkpoint, sample.checkpoint
        if left and right and left != right:
            raise ValueError(
                f'{where}: seed {sample.seed} is of weights {left[:8]} in '
                f'{other.entry.files[0]}, of {right[:8]} in {sample.entry.files[0]}. '
                'Test val and test with one checkpoint.'
            )


def check_recipes(entries: Sequence[Entry]) -> None:
    """Results of one name and protocol come from one recipe.

    Args:
        entries: Results; those without a config are taken at their word.

    Raises:
        ValueError: Two configs of one name differ in what trains or tests a model.
    """
    first: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        results = entry.results
        key = (results['name'], results['protocol']['name'])
        other = first.setdefault(key, entry)
        left, right = (_recipe(e.results.get('config') or {}) for e in (other, entry))
        if not left or not right:
            continue
        for name in sorted({*left, *right}):
            values = left.get(name, _ABSENT), right.get(name, _ABSENT)
            if values[0] != values[1]:
                raise ValueError(
                    f'{results["name"]}: config.{name} differs: {values[0]!r} in '
                    f'{other.files[0]}, {values[1]!r} in {entry.files[0]}. Seeds of '
                    'one recipe share it; give one of them another name: '
                    'NAME=results.json.'
                )


def _recipe(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in _leaves(config)
        if name.startswith(_RECIPE) and not {*name.split('.')} & {*_NO_RECIPE}
    }


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items: Iterator[tuple[Any, Any]] = iter(value.items())
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        yield name, value
        return
    for key, item in items:
        yield from _leaves(item, f'{name}.{key}' if name else str(key))
