"""Scoring a checkpoint under a protocol."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmma import registry  # noqa: F401  (fills the registries)
from mmma.checkpoints import check_simulated, load_trained
from mmma.engine.fewshot import (
    Features,
    adapt_linear,
    extract_features,
    source_classifier,
)
from mmma.engine.training import default_folder, set_environment
from mmma.engine.weights import read_checkpoint
from mmma.evaluation.functional.controls import (
    class_prior,
    mask_to_classes,
    reweight_by_prior,
)
from mmma.evaluation.scores import ScoreTable
from mmma.layout.rec import Clip
from mmma.layout.root import DataRoot
from mmma.protocols import SOURCE, Protocol, draw_supports, make_protocol
from mmma.taxonomy import check_choice, load_label_space

ADAPTATIONS = ('linear',)


@dataclass(frozen=True)
class TestOptions:
    """How to test.

    Attributes:
        subset: ``test`` or ``val``.
        skip_broken: Leave out clips that cannot be read, and name them.
        trust: Allow the checkpoint to be a pickle that can run code.
        allow_simulated: Allow weights trained on simulated data on real data.
        work_dir: Folder of the logs; None names one after the config.
        launcher: ``none``, ``pytorch`` or ``slurm``.
    """

    __test__ = False  # not a pytest class

    subset: str = 'test'
    skip_broken: bool = False
    trust: bool = False
    allow_simulated: bool = False
    work_dir: str | None = None
    launcher: str = 'none'


@dataclass(frozen=True)
class Scored:
    """Scores of one group of rows.

    Attributes:
        table: Scores of the tested clips.
        labels: What the row is: ``target``, ``shots``, ``run``, ``control``, ...
        broken: Clips that were left out because they could not be read.
    """

    table: ScoreTable
    labels: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What testing a checkpoint gave.

    Attributes:
        groups: Scores, in the order of the results' rows.
        checkpoint: Path, SHA-256 and ``pretrain_data`` of the weights.
        seen_domains: Domains the weights were trained on; None where they do not say.
        selected_on: How the checkpoint was chosen; None for the last of a run.
        device: What it ran on.
    """

    groups: list[Scored]
    checkpoint: dict[str, Any]
    seen_domains: list[str] | None
    selected_on: dict[str, Any] | None
    device: str


def load_runner(cfg: Any, checkpoint: str, options: TestOptions) -> tuple[Runner, Any]:
    """Build what tests a checkpoint.

    Args:
        cfg: From :func:`mmma.apis.load_config`; changed in place.
        checkpoint: Path or URL of the weights.
        options: How to test.

    Returns:
        A runner whose model holds the weights, and what the checkpoint says of them.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The weights do not fit, or are not allowed on these data.
    """
    cfg.work_dir = options.work_dir or str(default_folder(cfg) / 'test')
    set_environment(cfg, options.launcher)
    loader = cfg.test_dataloader
    loader.dataset.subset = options.subset
    loader.dataset.on_broken = 'skip' if options.skip_broken else 'raise'
    weights = read_checkpoint(checkpoint, trust=options.trust)
    root = DataRoot(cfg.data_root)
    check_simulated(weights.meta, root.info, options.allow_simulated)
    cfg.load_from, cfg.resume = None, False
    runner = Runner.from_cfg(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    space = load_label_space(root.info.label_space)
    load_trained(model, weights.content, space.name, space.actions, checkpoint)
    return runner, weights


def score_checkpoint(cfg: Any, checkpoint: str, options: TestOptions) -> Outcome:
    """Score a checkpoint under the protocol of a config, on every rank.

    Args:
        cfg: From :func:`mmma.apis.load_config`; changed in place.
        checkpoint: Path or URL of the weights.
        options: How to test.

    Raises:
        FileNotFoundError: Data or checkpoint are missing.
        ValueError: As :func:`load_runner`; or a clip that cannot be read.
    """
    runner, weights = load_runner(cfg, checkpoint, options)
    clips = DataRoot(cfg.data_root).read_rec()
    return Outcome(
        groups=score_protocol(runner, clips, options.subset),
        checkpoint=weights.record(),
        seen_domains=weights.seen_domains,
        selected_on=weights.meta.get('selected_on'),
        device=device_name(),
    )


def device_name() -> str:
    """Name of the GPU, or ``cpu``."""
    gpu = torch.cuda.is_available()
    return torch.cuda.get_device_name() if gpu else 'cpu'


def score_protocol(runner: Runner, clips: list[Clip], subset: str) -> list[Scored]:
    """Score the tested clips of a protocol.

    Args:
        runner: Built from a resolved config; its model holds the checkpoint.
        clips: All clips of the data root.
        subset: ``test`` or ``val``.

    Returns:
        For ``indomain`` one table over all tested domains; for ``zeroshot`` one per
        target; for ``fewshot`` per target: zero-shot, its two controls, and one table
        per number of shots and run.
    """
    protocol = make_protocol(runner.cfg.protocol)
    if protocol.name == 'fewshot':
        scored = []
        for target in protocol.target:
            scored += _score_fewshot(runner, protocol, target, clips, subset)
        return scored
    table, broken = _score(runner)
    if protocol.name == 'indomain':
        return [Scored(table, {'domain': protocol.domain}, broken)]
    domain_of = {c.clip: c.domain for c in clips}
    return [
        Scored(
            table.select([n for n in table.names if domain_of[n] == target]),
            {'target': target},
            [n for n in broken if domain_of[n] == target],
        )
        for target in protocol.target
    ]


def _score(runner: Runner) -> tuple[ScoreTable, list[str]]:
    runner.test()
    metric = runner.test_loop.evaluator.metrics[0]
    return metric.score_table, metric.broken


def _score_fewshot(
    runner: Runner, protocol: Protocol, target: str, clips: list[Clip], subset: str
) -> list[Scored]:
    """Zero-shot, its controls and every support draw of one target."""
    pool = _actions(clips, 'train', target)
    draws = [draw_supports(pool, target, protocol, r) for r in range(protocol.runs)]
    wanted = sorted({n for draw in draws for names in draw.values() for n in names})
    print_log(f'few-shot on {target}: features of {len(wanted)} supports', 'current')
    supports = _features(runner, 'train', target, wanted)
    tested = _features(runner, subset, target)
    rows = _zero_shot_rows(tested, target, pool, _actions(clips, 'train', SOURCE))
    for run, draw in enumerate(draws):
        for shots, drawn in draw.items():
            names = [name for name in drawn if name not in supports.broken]
            table = _adapt(runner, supports.take(names), pool, tested)
            labels = {
                'target': target,
                'shots': shots,
                'run': run,
                'effective_shots': len(names) / len(set(pool.values())),
                'supports': names,
            }
            rows.append(Scored(table, labels, tested.broken + supports.broken))
    return rows


def _adapt(
    runner: Runner, support: Features, pool: dict[str, int], tested: Features
) -> ScoreTable:
    settings = runner.cfg.fewshot
    check_choice('fewshot.adapt', settings.adapt, ADAPTATIONS)
    adapted = adapt_linear(
        source_classifier(runner.model),
        support.features,
        np.array([pool[name] for name in support.names]),
        settings.proximity,
    )
    return ScoreTable(tuple(tested.names), adapted.predict(tested.features))


def _zero_shot_rows(
    tested: Features, target: str, pool: dict[str, int], source: dict[str, int]
) -> list[Scored]:
    """The source model as it is, masked to the target's classes, and with its prior.

    Supports tell more than how classes look: which exist, and how often. These rows
    tell how much of a few-shot gain that alone explains.
    """
    num_classes = tested.scores.shape[1]
    masked = mask_to_classes(tested.scores, sorted(set(pool.values())))
    reweighted = reweight_by_prior(
        tested.scores,
        class_prior(list(source.values()), num_classes),
        class_prior(list(pool.values()), num_classes),
    )
    variants = {None: tested.scores, 'classes': masked, 'prior': reweighted}
    rows = []
    for control, scores in variants.items():
        labels = {'target': target, 'shots': 0}
        if control:
            labels['control'] = control
        rows.append(
            Scored(ScoreTable(tuple(tested.names), scores), labels, tested.broken)
        )
    return rows


def _actions(clips: list[Clip], subset: str, domain: str) -> dict[str, int]:
    return {
        c.clip: c.action
        for c in clips
        if c.subset == subset and c.domain == domain and c.action is not None
    }


def _features(
    runner: Runner, subset: str, domain: str, names: list[str] | None = None
) -> Features:
    """Features of a subset of one domain, or of some of its clips."""
    loader = copy.deepcopy(runner.cfg.test_dataloader)
    loader.dataset.update(subset=subset, domains=[domain])
    if names is not None:
        loader.dataset.clips = names
    dataloader = Runner.build_dataloader(loader, seed=runner.seed)
    return extract_features(runner.model, dataloader)
