"""Weights that a run starts from, and the guard between them and its data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmma.checkpoints import (
    RemoteFile,
    check_simulated,
    fetch_file,
    fetch_url,
    file_sha256,
    load_state,
    load_weights_file,
    meta_of,
    weights_of,
)
from mmma.checkpoints.download import file_name
from mmma.checkpoints.files import frozen_names, weights_sha256
from mmma.engine.run import BackboneOptions, Run, TestOptions
from mmma.engine.runner import ConsoleRunner, unwrapped
from mmma.protocols import REST, Protocol

FROM_SCRATCH = 'none'


@dataclass(frozen=True)
class Weights:
    """A checkpoint that was read.

    Attributes:
        pretrain_data: What its weights saw before the training it tells of.
        of_recipe: They are the recipe's ``pretrained``.
    """

    path: Path
    content: Any
    pretrain_data: str
    of_recipe: bool = False

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Facts that the checkpoint tells of itself."""
        return meta_of(self.content)

    def record(self) -> dict[str, Any]:
        """Facts about the weights for ``results.json``."""
        data = self.meta.get('data') or {}
        changed = list(self.meta.get('changed_config') or ())
        found = {'path': str(self.path), 'sha256': file_sha256(self.path)}
        found['pretrain_data'] = self.pretrain_data
        found['trained_on'] = data.get('name', 'unknown')
        found['simulated'] = bool(data.get('simulated'))
        more = {'incomplete': data.get('incomplete'), 'changed_config': changed}
        return found | {key: value for key, value in more.items() if value}


def read_checkpoint(name: str, trust: bool = False) -> Weights:
    """Read a checkpoint by path or URL; ``trust`` allows a pickle that can run code.

    Eight hex digits at the end of the file name of a URL are checked with the SHA-256.
    Raises FileNotFoundError, or ValueError where it is damaged or can run code.
    """
    path = fetch_url(name) if '://' in name else Path(name)
    content = load_weights_file(path, trust)
    return Weights(path, content, meta_of(content).get('pretrain_data') or 'unknown')


def starting_weights(
    cfg: Any,
    load_from: str | None,
    pretrained: bool,
    trust: bool = False,
    offline: bool = False,
) -> Weights | None:
    """Weights that a training run starts from; None is from scratch.

    Args:
        cfg: Its ``pretrained`` names the recipe's weights.
        load_from: Path or URL that the user gave instead.
        trust: As of :func:`read_checkpoint`.
        offline: Never use the network for the recipe's.
    """
    if load_from:
        weights = read_checkpoint(load_from, trust)
        own = (weights.meta.get('data') or {}).get('name')
        if told := weights.meta.get('unlabelled'):
            own = f'{own} (unlabelled: {told})'
        seen = ' + '.join([weights.pretrain_data, *([own] if own else [])])
        return replace(weights, pretrain_data=seen)
    source = cfg.get('pretrained')
    if not pretrained or not source:
        return None
    url = source.url
    file = RemoteFile(file_name(url), url, source.sha8, source.get('size'))
    advice = ', or train from scratch with --no-pretrained'
    path = fetch_file(file, offline=offline, advice=advice)
    return Weights(path, load_weights_file(path, trust), source.data, of_recipe=True)


def with_frozen(
    model: Any, weights: Weights, cfg: Any, offline: bool = False
) -> Weights:
    """A checkpoint with the frozen weights that it leaves out, if it leaves out any.

    Where they are not those that it was trained on, or the recipe has none, ValueError
    is raised.

    Args:
        model: To load it into; not wrapped. Where the checkpoint leaves something out,
            the recipe's pretrained weights are in it afterwards.
        cfg: Whose ``pretrained`` names where frozen weights come from.
    """
    frozen = weights.meta.get('frozen')
    if not frozen:
        return weights
    start = starting_weights(cfg, None, pretrained=True, offline=offline)
    if start is None:
        raise ValueError(
            f'{weights.path} leaves out its {frozen["count"]} frozen weights, of '
            f'{frozen["source"]}, and the config names no pretrained weights. Test it '
            'with the config that it was trained with.'
        )
    _load(model, start)
    names, expected = frozen_names(model), frozen['sha256']
    found = weights_sha256(model.state_dict(), names)
    if found != expected:
        raise ValueError(
            f'{weights.path} was trained on other frozen weights (SHA-256 '
            f'{expected[:8]}...) than the recipe now gives ({found[:8]}...). Test it '
            'with the config that it was trained with: the same pretrained weights, '
            'arch and frozen_dtype.'
        )
    own = model.state_dict()
    state = {name: own[name] for name in names}
    state.update(weights.content['state_dict'])
    return replace(weights, content={**weights.content, 'state_dict': state})


def _load(model: Any, weights: Weights) -> None:
    path = str(weights.path)
    load_state(model, weights_of(weights.content, path), path)


class StartFrom(Hook):
    """Put weights into the model once the runner has initialised it."""

    priority = 'VERY_HIGH'

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def before_train(self, runner) -> None:
        """Load, print what matched, and refuse what does not fit."""
        model = unwrapped(runner.model)
        _load(model, with_frozen(model, self.weights, runner.cfg))


def load_backbone(run: Run, options: BackboneOptions) -> tuple[Runner, dict[str, Any]]:
    """Build the model of a recipe and put weights into its backbone.

    The run was opened with the same options: no body classifier, and with ``tokens``
    another head.

    Returns:
        A runner with the model, whose classifier means nothing; and of the weights the
        ``checkpoint``, as ``results.json`` has it, with the hash of the backbone's
        weights as they are in the model, and ``seen_domains``, None where untold.

    Raises:
        FileNotFoundError: Weights are missing.
        ValueError: There are none and random ones were not asked for; they do not fit,
            or are not allowed on these data.
    """
    cfg, given = run.cfg, (options.checkpoint, options.pretrained, options.trust)
    weights = starting_weights(cfg, *given)
    if weights is None and options.pretrained:
        raise ValueError(
            'the recipe names no pretrained weights: give a checkpoint, or say '
            '--no-pretrained for the features of random weights.'
        )
    if weights:
        check_simulated(weights.meta, run.root.info, options.allow_simulated)
    runner = ConsoleRunner.from_cfg(cfg)
    torch.manual_seed(0)  # of random weights, and of parts that a file leaves out
    runner.model.init_weights()
    seen: list[str] | None = []
    if weights:
        _load(runner.model, with_frozen(runner.model, weights, cfg))
        record = weights.record()
        seen = weights.meta.get('seen_domains') or ([] if weights.of_recipe else None)
    sha256 = weights_sha256(runner.model.backbone.state_dict())
    if not weights:
        record = dict(pretrain_data=FROM_SCRATCH, simulated=False)
        record.update(path='random', sha256=sha256, trained_on=FROM_SCRATCH)
    record |= dict(backbone_sha256=sha256, random_backbone=weights is None)
    return runner, {'checkpoint': record, 'seen_domains': seen}


def check_source(weights: Weights, protocol: Protocol) -> None:
    """Refuse (ValueError) weights for results that name another source than theirs.

    Weights of other domains than those of the data are let through, and so are those
    trained in-domain, unless all domains but one are the source.
    """
    told = weights.meta.get('protocol') or {}
    trained, wanted = told.get('train_domains') or [], protocol.train_domains
    crossed = told.get('name') != 'indomain' and set(trained) <= {*protocol.domains}
    if protocol.name == 'indomain' or not trained or {*trained} == {*wanted}:
        return
    if crossed or protocol.source == REST:
        own, source = (
            f'--source {s}' + f' --target {" ".join(targets)}' * (s == REST)
            for s, targets in (
                (told.get('source', trained[0]), told.get('target', ())),
                (protocol.source, protocol.target),
            )
        )
        raise ValueError(
            f'{weights.path} was trained on {", ".join(trained)}, and {source} is for '
            f'a model of {", ".join(wanted)}: train one (tools/train.py CONFIG '
            f'--protocol zeroshot {source}), or test this one with '
            f'{own if crossed else "--protocol indomain"}'
        )


def check_extractor(meta: Mapping[str, Any], run: Run, options: TestOptions) -> None:
    """Refuse (ValueError) weights that learnt from skeletons of another extractor.

    Weights that do not say are let through, and so are those trained on simulated data
    where the user allows them on real data.
    """
    data = meta.get('data') or {}
    trained, now = data.get('extractor'), run.layout and run.layout.extractor
    simulated = data.get('simulated') and options.allow_simulated
    forced = options.allow_extractor or simulated
    if not forced and None not in (trained, now) and trained != now:
        raise ValueError(
            f'these weights were trained on skeletons of {trained!r}; those of '
            f'{run.cfg.data_root} are of {now!r}, which places joints differently. '
            'Find them with the same extractor and options (tools/data/pose.py), or '
            '--allow-extractor.'
        )
