"""Models stay with the skeletons that they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmma.engine.outcome import TestOptions
from mmma.layout.joints import read_layout


def extractor_of(cfg: Any) -> str | None:
    """What found the joints that a config's model sees; None for video.

    Args:
        cfg: A config with ``data_root``.

    Raises:
        FileNotFoundError: The data have no skeletons.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    if dataset.get('modality') != 'Pose':
        return None
    return read_layout(Path(cfg.data_root, 'skeletons')).extractor


def check_extractor(meta: Mapping[str, Any], cfg: Any, options: TestOptions) -> None:
    """Keep weights away from skeletons of another extractor than they learnt from.

    Weights that do not say are let through, and so are those trained on simulated data
    where the user allows them on real data.

    Args:
        meta: What a checkpoint tells of itself.
        cfg: The config to test it with.
        options: How to test.

    Raises:
        ValueError: They would meet.
    """
    data = meta.get('data') or {}
    trained, now = data.get('extractor'), extractor_of(cfg)
    forced = options.allow_extractor or (
        bool(data.get('simulated')) and options.allow_simulated
    )
    if not forced and None not in (trained, now) and trained != now:
        raise ValueError(
            f'these weights were trained on skeletons of {trained!r}; those of '
            f'{cfg.data_root} are of {now!r}, which places joints differently. Find '
            'them with the same extractor and options (tools/data/pose.py), or '
            '--allow-extractor.'
        )
