"""What a trained model says of a user's video, on the path of testing."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from mmma.checkpoints import check_simulated, file_sha256
from mmma.config import config_folders
from mmma.datasets.root_dataset import space_meta
from mmma.engine.classes import tell_classes
from mmma.engine.detection import detect_videos
from mmma.engine.inference_results import (
    Detection,
    Finding,
    InferenceOptions,
    ModelCard,
    Recognition,
)
from mmma.engine.inference_video import (
    LinkRoot,
    Skeletons,
    VideoFile,
    write_placeholder,
    write_root,
)
from mmma.engine.outcome import TestOptions
from mmma.engine.testing import load_runner
from mmma.engine.weights import Weights
from mmma.evaluation.functional.bodies import summed_body_scores
from mmma.layout.root import DatasetInfo
from mmma.registry import DATASETS, METRICS
from mmma.structures.detections import Detections
from mmma.structures.merging import MergeOptions
from mmma.taxonomy import LabelSpace, load_label_space

LONG_SEC = 30
"""Recognition of more than this is noted: models learn from clips of seconds."""
ENOUGH_FRAMES = 0.5
"""A body that is found in a smaller share of the frames is noted."""
MODALITIES = ('RGB', 'Pose')
_OF_TRAINING = (
    *('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'),
    *('val_dataloader', 'val_cfg', 'val_evaluator', 'train_pipeline'),
)


class VideoModel:
    """A trained model for video files; it is built when the first one comes.

    Args:
        name: Model-zoo name, or that of the file.
        weights: Its checkpoint.
        cfg: Its config, from :func:`mmma.apis.load_config`.
        options: How to look at videos.
        extractor: What will find joints, for a model that sees those.

    Raises:
        ValueError: The model sees neither pictures nor joints, was trained on simulated
            data, or on skeletons of another extractor, and that was not allowed.
    """

    def __init__(
        self,
        name: str,
        weights: Weights,
        cfg: Any,
        options: InferenceOptions,
        extractor: str | None = None,
    ) -> None:
        meta = weights.meta
        real = DatasetInfo('videos', cfg.label_space, simulated=False)
        check_simulated(meta, real, options.allow_simulated)
        self.options = options
        self.card = _card(name, weights, cfg, extractor)
        trained = (meta.get('data') or {}).get('extractor')
        self.notes = tuple(_model_notes(self.card, trained, options))
        self.space = own_label_space(meta, cfg.label_space)
        self._cfg, self._weights = cfg, weights
        self._model: nn.Module | None = None

    def build(self) -> nn.Module:
        """The model in evaluation mode, built once, as testing builds it.

        Raises:
            ValueError: The weights are of another model than the config's.
        """
        if self._model is None:
            self._model = self._build()
            del self._weights
        return self._model

    def look(
        self, file: VideoFile, folder: Path, skeletons: Skeletons | None = None
    ) -> Recognition | Detection:
        """What the model says of a video.

        Args:
            file: From :func:`link_video`.
            folder: An empty one to work in.
            skeletons: Of the video, for a model that sees those.

        Raises:
            ValueError: A frame cannot be read.
        """
        card = self.card
        root = write_root(folder, card.task, card.label_space, file, skeletons)
        notes = (*self.notes, *_video_notes(card.task, file, skeletons))
        seen = skeletons is None or skeletons.body_found > 0
        if card.task == 'rec':
            return self._recognition(file, self.scores(root), seen, notes)
        levels = self.detections(root) if seen else {}
        return self._detection(levels, seen, notes)

    @torch.no_grad()
    def scores(self, root: LinkRoot) -> tuple[np.ndarray, np.ndarray]:
        """Scores of the actions (K,) and of the body groups (B,) of a root's clip."""
        sample = self.build().test_step(pseudo_collate([self._dataset(root)[0]]))[0]
        actions = sample.pred_score.float().cpu().numpy()
        own = sample.get('pred_body_score')
        if self._cfg.test_evaluator.get('body_scores') == 'head' and own is not None:
            return actions, own.float().cpu().numpy()
        table = actions[None]
        sums = summed_body_scores(table, self.space.body_of, self.space.num_bodies)
        return actions, sums[0]

    def detections(self, root: LinkRoot) -> dict[str, Detections]:
        """Detections by level of a root's video, in memory that does not grow."""
        dataset = self._dataset(root)
        windows = (dataset[i] for i in range(len(dataset)))
        size = self._cfg.test_dataloader.batch_size
        ((_, levels),) = detect_videos(
            self.build(), windows, self.space.body_of, self._merging, size
        )
        return levels

    @property
    def _merging(self) -> MergeOptions:
        merging: MergeOptions = METRICS.build(dict(self._cfg.test_evaluator)).merging
        return merging

    def _dataset(self, root: LinkRoot) -> Any:
        dataset = DATASETS.build(
            {
                **self._cfg.test_dataloader.dataset,
                'data_root': str(root.path),
                'serialize_data': False,
            }
        )
        dataset.root = root
        return dataset

    def _build(self) -> nn.Module:
        cfg, card = self._cfg, self.card
        for key in _OF_TRAINING:
            cfg.pop(key, None)
        cfg.log_level = 'ERROR'
        loader = cfg.test_dataloader
        loader.dataset.domains = None
        loader.update(num_workers=0, persistent_workers=False)
        loader.pop('prefetch_factor', None)
        with (
            tempfile.TemporaryDirectory(prefix='mmma-') as folder,
            _network(not self.options.private),
        ):
            # MMEngine keeps what it built under this name, and writes to its folder.
            cfg.experiment_name = Path(folder).name
            root = Path(folder, 'root')
            write_placeholder(root, card.task, card.label_space, card.extractor)
            cfg.data_root = loader.dataset.data_root = str(root)
            # An extractor that differs was let through, with a note, by now.
            options = TestOptions(
                allow_simulated=True, allow_extractor=True, work_dir=folder
            )
            runner, _ = load_runner(cfg, self._weights, options)
        model = runner.model
        if self.options.device:
            model = model.to(self.options.device)
        tell_classes(model, space_meta(self.space))
        return model.eval()

    def _recognition(
        self,
        file: VideoFile,
        scores: tuple[np.ndarray, np.ndarray],
        seen: bool,
        notes: tuple[str, ...],
    ) -> Recognition:
        space, end_sec = self.space, file.duration_sec
        actions, bodies = (np.argsort(-s, kind='stable').tolist() for s in scores)
        named = [
            Finding(0.0, end_sec, *self._names(a), float(scores[0][a])) for a in actions
        ]
        groups = [
            Finding(0.0, end_sec, None, space.bodies[b], float(scores[1][b]))
            for b in bodies
        ]
        lowest = self.options.threshold_of('rec')
        abstained = not seen or named[0].score < lowest
        return Recognition(
            self.card, tuple(named), tuple(groups), abstained, lowest, notes
        )

    def _detection(
        self, levels: Mapping[str, Detections], seen: bool, notes: tuple[str, ...]
    ) -> Detection:
        lowest, found = self.options.threshold_of('det'), {}
        for level in ('action', 'body'):
            table = levels.get(level, Detections.empty())
            columns = (table.segments_sec, table.labels, table.scores)
            rows = zip(*(column.tolist() for column in columns), strict=True)
            found[level] = [
                Finding(*times, *self._names(label, level), score)
                for times, label, score in rows
            ]
        kept = {
            level: tuple(f for f in rows if f.score >= lowest)
            for level, rows in found.items()
        }
        dropped = len(found['action']) - len(kept['action'])
        return Detection(
            self.card, kept['action'], kept['body'], dropped, lowest, not seen, notes
        )

    def _names(self, label: int, level: str = 'action') -> tuple[str | None, str]:
        if level == 'body':
            return None, self.space.bodies[label]
        return self.space.actions[label], self.space.bodies[self.space.body_of[label]]


def config_of(weights: Weights, name: str) -> str:
    """The config that a checkpoint was trained with, among those that come with mmma.

    Its file name alone is used: no text or path of a checkpoint is ever run.

    Args:
        weights: The checkpoint.
        name: What to call it.

    Raises:
        ValueError: It names none, or one that does not come with mmma.
    """
    wanted = Path(weights.meta.get('config_name') or '').name
    tasks = [folder / task for folder in config_folders() for task in ('recog', 'det')]
    for task in tasks if wanted else ():
        if (task / wanted).is_file():
            return str(task / wanted)
    told = (
        f'names {wanted!r}, which does not come with mmma' if wanted else 'names none'
    )
    raise ValueError(
        f'{name}: the config that it was trained with is not known (it {told}): give '
        'it (--config-recog, --config-det, or config=).'
    )


def own_label_space(meta: Mapping[str, Any], name: str) -> LabelSpace:
    """A label space with the body groups that a model was trained with.

    Args:
        meta: What its checkpoint tells of itself.
        name: Of the label space.
    """
    space = load_label_space(name)
    classes, bodies, groups = (
        list(meta.get(key) or ()) for key in ('classes', 'bodies', 'body_of')
    )
    same = sorted(classes) == sorted(space.actions) and len(groups) == len(classes)
    if not same or sorted(bodies) != sorted(space.bodies):
        return space
    group_of = dict(zip(classes, groups, strict=True))
    body_of = [space.bodies.index(bodies[group_of[a]]) for a in space.actions]
    return LabelSpace(space.name, space.actions, space.bodies, tuple(body_of))


@contextmanager
def _network(allowed: bool) -> Iterator[None]:
    """Frozen weights that a checkpoint leaves out may be fetched, or not."""
    before = os.environ.get('MMMA_OFFLINE')
    if not allowed:
        os.environ['MMMA_OFFLINE'] = '1'
    try:
        yield
    finally:
        if not allowed:
            del os.environ['MMMA_OFFLINE']
            os.environ.update({'MMMA_OFFLINE': before} if before else {})


def _card(name: str, weights: Weights, cfg: Any, now: str | None) -> ModelCard:
    """Facts of a model; ``now`` is what will find joints."""
    modality = cfg.test_dataloader.dataset.get('modality', 'RGB')
    if modality not in MODALITIES:
        raise ValueError(
            f'{name} sees {modality.lower()}s of another model, which are extracted '
            'for data roots only (tools/data/features.py): take a model that sees '
            'video or skeletons.'
        )
    data = weights.meta.get('data') or {}
    resolved = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return ModelCard(
        name=name,
        task=cfg.task,
        modality=modality,
        sha256=file_sha256(weights.path),
        config=Path(cfg.filename).stem,
        config_sha256=hashlib.sha256(resolved.encode()).hexdigest(),
        label_space=cfg.label_space,
        trained_on=data.get('name'),
        simulated=bool(data.get('simulated')),
        extractor=now if modality == 'Pose' else None,
    )


def _model_notes(
    card: ModelCard, trained: str | None, options: InferenceOptions
) -> Iterator[str]:
    """What to bear in mind of a model; refuses skeletons that it does not know."""
    if card.simulated:
        yield (
            f'the weights were trained on simulated people ({card.trained_on}): what '
            'they say of real ones may be wrong'
        )
    if None in (trained, card.extractor) or trained == card.extractor:
        return
    differs = (
        f'the weights were trained on skeletons of {trained!r}, those of the video are '
        f'of {card.extractor!r}, which places joints differently'
    )
    if not (options.allow_extractor or card.simulated):
        raise ValueError(
            f'{card.name}: {differs}. Find them with the same extractor '
            '(--pose-backend and its options), or --allow-extractor.'
        )
    yield f'{differs}: allowed by the user'


def _video_notes(
    task: str, file: VideoFile, skeletons: Skeletons | None
) -> Iterator[str]:
    """What to bear in mind of a video."""
    if task == 'rec' and file.duration_sec > LONG_SEC:
        yield (
            f'one action was asked of {file.duration_sec:.0f} s: models learn from '
            'clips of a few seconds; a detector finds actions in long videos'
        )
    if skeletons is None:
        return
    found = skeletons.body_found
    if not found:
        yield 'no body was found in any frame: nothing can be said'
    elif found < ENOUGH_FRAMES:
        yield f'a body was found in only {found:.0%} of the frames'
