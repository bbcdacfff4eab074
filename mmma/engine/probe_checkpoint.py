"""Linear probes as checkpoints of their recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmma import __version__
from mmma.checkpoints import to_plain
from mmma.engine.frozen_backbone import FrozenBackbone
from mmma.engine.outcome import Outcome
from mmma.engine.probe import Probe
from mmma.layout.paths import atomic_write
from mmma.layout.root import DataRoot
from mmma.protocols import make_protocol


def save_probe(
    path: Path, cfg: Any, backbone: FrozenBackbone, probe: Probe, outcome: Outcome
) -> None:
    """Write backbone and classifier as ``test.py`` takes them.

    Args:
        path: File to write.
        cfg: Config with the protocol that the probe was trained under.
        backbone: Under the probe.
        probe: A linear one.
        outcome: What the probe scored.

    Raises:
        ValueError: The probe is not linear, or the recipe's classifier is not
            ``cls_head.fc_cls``.
    """
    state = dict(backbone.model.state_dict())
    names = {part: f'cls_head.fc_cls.{part}' for part in ('weight', 'bias')}
    if probe.kind != 'linear' or not state.keys() >= {*names.values()}:
        raise ValueError(
            f'this {probe.kind} probe is no checkpoint of the recipe: only linear '
            'probes take the place of a head with `fc_cls`.'
        )
    state.update({name: getattr(probe.classifier, p) for p, name in names.items()})
    root = DataRoot(cfg.data_root)
    space = root.label_space()
    meta = {
        'mmma_version': __version__,
        'config_name': Path(cfg.filename).name,
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
        'protocol': {
            **make_protocol(cfg.protocol).as_dict(),
            'train_domains': list(probe.domains),
        },
        'seen_domains': outcome.seen_domains,
        'pretrain_data': outcome.checkpoint['pretrain_data'],
        'selected_on': outcome.selected_on,
        'data': {
            'name': root.info.name,
            'fingerprint': root.fingerprint(),
            'simulated': outcome.checkpoint['simulated'],
        },
        'probe': probe.record(),
        'cfg': cfg.to_dict(),
    }
    with atomic_write(Path(path), 'wb') as file:
        torch.save(to_plain({'state_dict': state, 'meta': meta}), file)
