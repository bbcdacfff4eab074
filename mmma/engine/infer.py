"""Predictions for one video, without a data root.

Findings as files: JSON with everything, CSV with one row per finding.

The JSON is written last and says what made it, so that what is whole and was made in
the same way need not be made again.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import nn

from mmma import __version__
from mmma.checkpoints import check_simulated, file_sha256
from mmma.config import config_folders
from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import Clip, write_rec
from mmma.data.joints import WHOLEBODY65, write_layout
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.data.videos import Video, write_det
from mmma.datasets.clips import space_meta
from mmma.engine.hooks import tell_classes
from mmma.engine.run import TestOptions
from mmma.engine.test import detect_videos, load_runner
from mmma.engine.weights import Weights
from mmma.evaluation.recognition import summed_body_scores
from mmma.files import atomic_write, source_identity
from mmma.registry import DATASETS, METRICS
from mmma.structures.samples import MergeOptions
from mmma.structures.segments import Detections
from mmma.taxonomy import LabelSpace, check_choice, load_label_space
from mmma.video import VIDEO_SUFFIXES, BrokenVideoError, open_container, read_index

NAME = 'video'
"""Of the only row; the user's file name stays out of tables, logs and messages."""
_FEET = WHOLEBODY65.names.index('left_big_toe')  # what lies before is the body


@dataclass(frozen=True)
class VideoFile:
    """A video under a link that does not tell its name.

    Attributes:
        path: The link.
        frames: Number of frames that are shown.
        duration_sec: From the first frame's appearance to the last one's end.
        first_frame_sec: Time stamp of the first frame in the file. Every other time is
            counted from this frame, as in ``det.json``.
    """

    path: Path
    frames: int
    duration_sec: float
    first_frame_sec: float

    @property
    def fps(self) -> float:
        """Mean frames per second."""
        return self.frames / self.duration_sec


@dataclass(frozen=True)
class Skeletons:
    """What an extractor found in a video.

    Attributes:
        joints: (T, M, V, 3) int16, as a skeleton store holds them.
        fps: Rows per second.
        size: Width and height of the picture, pixels.
        extractor: What found them.
    """

    joints: np.ndarray
    fps: float
    size: tuple[int, int]
    extractor: str

    @property
    def body_found(self) -> float:
        """Share of the frames in which a body was found, in [0, 1]."""
        scores = self.joints[:, :, :_FEET, 2]  # (T, M, 17)
        return float((scores > 0).any(axis=(1, 2)).mean())


class LinkRoot(DataRoot):
    """A data root whose only video lies elsewhere, behind a link.

    Args:
        path: The root.
        video: The link.
    """

    def __init__(self, path: str | os.PathLike[str], video: Path) -> None:
        super().__init__(path)
        self._video = video

    def video_path(self, relative: str) -> Path:
        """The link; the user named its target, so that it may leave the root.

        Args:
            relative: Path as written in the table.
        """
        return self._video


def link_video(video: Path, folder: Path) -> VideoFile:
    """Link a video into a folder and read when its frames are shown.

    Args:
        video: The user's file.
        folder: An existing one.

    Raises:
        FileNotFoundError: There is no such file.
        BrokenVideoError: It cannot be read as video. Both name the link.
    """
    suffix = video.suffix.lower()
    link = folder / f'{NAME}{suffix if suffix in VIDEO_SUFFIXES else ""}'
    try:
        link.symlink_to(video.absolute())
    except OSError:  # a file system without links
        shutil.copyfile(video, link)
    with open_container(link) as container:
        index = read_index(container)
    first_sec = float(index.pts[0] * index.time_base)
    return VideoFile(link, len(index.pts), index.duration_sec, first_sec)


def write_root(
    folder: Path,
    task: str,
    label_space: str,
    file: VideoFile,
    skeletons: Skeletons | None = None,
) -> LinkRoot:
    """Write the tables of a root that holds one video, whose truth is unknown.

    Args:
        folder: Where to.
        task: ``rec`` or ``det``: the table that it gets.
        label_space: Of the model.
        file: The video.
        skeletons: Of the video, for a model that sees those.
    """
    space = load_label_space(label_space)
    write_info(folder, DatasetInfo('videos', label_space, simulated=False))
    place: Any = {'path': NAME, 'subset': 'test', 'domain': 'lab', 'subject': ''}
    if task == 'det':
        length = {'frames': file.frames, 'duration': file.duration_sec}
        row = Video(NAME, **place, fps=file.fps, **length, withheld=True)
        write_det(folder / 'det.json', [row], space)
    else:
        clip = Clip(NAME, **place, action=None, body=None)
        write_rec(folder / 'rec.csv', [clip], space)
    if skeletons is not None:
        layout = replace(WHOLEBODY65, extractor=skeletons.extractor)
        persons = skeletons.joints.shape[1]
        with SkeletonWriter(folder, task, layout, persons) as writer:
            facts = (skeletons.fps, *skeletons.size)
            writer.append_encoded(NAME, skeletons.joints, *facts)
    return LinkRoot(folder, file.path)


def write_placeholder(
    folder: Path, task: str, label_space: str, extractor: str | None
) -> None:
    """Write a root to build a model on: its tables, and no video.

    Args:
        folder: Where to.
        task: ``rec`` or ``det``.
        label_space: Of the model.
        extractor: What will find the joints; None for a model that sees pictures.
    """
    write_root(folder, task, label_space, VideoFile(folder / NAME, 1, 1.0, 0.0))
    if extractor is not None:
        layout = replace(WHOLEBODY65, extractor=extractor)
        write_layout(folder / 'skeletons', layout)


@contextmanager
def called(label: str, folder: str | os.PathLike[str]) -> Iterator[None]:
    """Errors inside call the video by a label, and neither it nor its link by name.

    Args:
        label: What the user knows the video by.
        folder: Where the link is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or nothing can be made of it.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f'{label}: no such video file') from None
    except (ValueError, RuntimeError) as error:
        raise ValueError(f'{label}: {_reason(error, str(folder))}') from None


def _reason(error: Exception, folder: str) -> str:
    if isinstance(error, BrokenVideoError):
        return error.reason
    # A data set names its row and gives advice on data roots.
    text = str(error).partition('. Repair the file;')[0]
    text = re.sub(rf'{re.escape(folder)}[^\s:]*(: )?', '', text)
    return re.sub(rf"^(clip|video) '{NAME}' ", '', text)


SEGMENT_THRESHOLD = 0.2
"""Of detection, unless the user says. On the simulated test videos of the laboratory,
``skeletondet-tiny`` then shows 3.7 segments per video, as many as are true."""


@dataclass(frozen=True)
class InferenceOptions:
    """How to look at a video.

    Attributes:
        threshold: From which score, in [0, 1], an action is named. Below it recognition
            abstains and detection drops the segment. None: 0 for recognition,
            ``SEGMENT_THRESHOLD`` for detection.
        allow_simulated: Allow weights trained on simulated data on real video.
        allow_extractor: Allow skeletons of another extractor than in training.
        private: No network, and no name of a file in what is said.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes the GPU if there is one.
        pose_backend: What finds joints: ``mediapipe`` or ``rtmlib``.
        pose_models: rtmlib: folder of ``det.onnx`` and ``pose.onnx``.
        persons: rtmlib: most people to keep.
        smooth: mediapipe: smooth the body over time, which damps small motion.

    Raises:
        ValueError: A threshold outside [0, 1], or a device that is not there.
    """

    threshold: float | None = None
    allow_simulated: bool = False
    allow_extractor: bool = False
    private: bool = False
    device: str | None = None
    pose_backend: str = 'mediapipe'
    pose_models: Path | None = None
    persons: int = 1
    smooth: bool = False

    def __post_init__(self) -> None:
        if not 0 <= (self.threshold or 0) <= 1:
            raise ValueError(f'threshold {self.threshold}: use a score from 0 to 1.')
        gpus = [f'cuda:{i}' for i in range(torch.cuda.device_count())]
        allowed = ('cpu', *(['cuda'] if gpus else []), *gpus)
        check_choice('device', self.device or 'cpu', allowed)

    def threshold_of(self, task: str) -> float:
        """Lowest score that counts in ``rec`` or ``det``."""
        if self.threshold is None:
            return SEGMENT_THRESHOLD if task == 'det' else 0.0
        return self.threshold


@dataclass(frozen=True)
class ModelCard:
    """What there is to know of a model.

    Attributes:
        name: Model-zoo name, or that of the file.
        task: ``rec`` or ``det``.
        modality: ``RGB`` or ``Pose``.
        sha256: Of the weights' file.
        config: Name of the config.
        config_sha256: Of the resolved config.
        label_space: Whose actions it knows.
        trained_on: Name of the data, if the weights tell.
        simulated: Whether those are simulated.
        extractor: What finds the joints for it; None for pictures.
    """

    name: str
    task: str
    modality: str
    sha256: str
    config: str
    config_sha256: str
    label_space: str
    trained_on: str | None
    simulated: bool
    extractor: str | None


@dataclass(frozen=True)
class Finding:
    """An action or a body group, when, and how sure the model is.

    Attributes:
        start_sec: Start, seconds from the first frame.
        end_sec: End, exclusive.
        action: Its name; None of a body group, and where the model abstains.
        body: Name of the body group; None where the model abstains.
        score: Probability that the model gives it, in [0, 1].
    """

    start_sec: float
    end_sec: float
    action: str | None
    body: str | None
    score: float


@dataclass(frozen=True)
class Recognition:
    """What a recognizer says of a clip.

    Attributes:
        model: The model.
        actions: All actions, the likeliest first.
        bodies: All body groups, the likeliest first.
        abstained: The best score is below the threshold, or nobody is seen.
        threshold: From which score the best action is named.
        notes: What to bear in mind.
    """

    model: ModelCard
    actions: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    abstained: bool
    threshold: float
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether the weights have only ever seen simulated people."""
        return self.model.simulated

    @property
    def answer(self) -> Finding:
        """The likeliest action; without a name where the model abstains."""
        best = self.actions[0]
        if not self.abstained:
            return best
        return Finding(best.start_sec, best.end_sec, None, None, best.score)


@dataclass(frozen=True)
class Detection:
    """What a detector found in a video.

    Attributes:
        model: The model.
        segments: Actions from the threshold on, the best first.
        bodies: Body groups from the threshold on, the best first.
        dropped: Actions below the threshold.
        threshold: From which score a segment is kept.
        abstained: Nobody is seen, so nothing was looked for.
        notes: What to bear in mind.
    """

    model: ModelCard
    segments: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    dropped: int
    threshold: float
    abstained: bool = False
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether the weights have only ever seen simulated people."""
        return self.model.simulated


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


SCHEMA = 'mmma-infer 1'
COLUMNS = (
    *('task', 'start_sec', 'end_sec', 'action', 'body'),
    *('score', 'abstained', 'simulated', 'model'),
)
_HEADER = ','.join(COLUMNS)
_KIND = {'rec': 'recognition', 'det': 'detection'}


@dataclass(frozen=True)
class VideoFindings:
    """What was found in a video.

    Attributes:
        file: The video.
        results: Of each model.
        skeletons: Of the video, if a model asked for them.
    """

    file: VideoFile
    results: tuple[Recognition | Detection, ...]
    skeletons: Skeletons | None = None


@dataclass(frozen=True)
class Outputs:
    """Where the findings of a video go.

    Args:
        folder: Of the user.
        stem: Name of the video without its suffix.
        label: What messages call the video.
    """

    folder: Path
    stem: str
    label: str

    @property
    def json(self) -> Path:
        """Everything."""
        return self.folder / f'{self.stem}.json'

    @property
    def csv(self) -> Path:
        """One row per finding."""
        return self.folder / f'{self.stem}.csv'

    def made_with(self, request: Mapping[str, Any]) -> bool:
        """Whether both files are there and were made in a given way.

        Args:
            request: From :func:`describe_request`.

        Raises:
            ValueError: A file of that name is of another program.
        """
        made = self._content()
        return made is not None and made['request'] == request and self.csv.is_file()

    def _content(self) -> dict[str, Any] | None:
        if self.csv.is_file():
            with self.csv.open(encoding='utf-8', errors='replace') as file:
                self._check(file.readline().strip() == _HEADER, 'CSV')
        if not self.json.is_file():
            return None
        try:
            content = json.loads(self.json.read_text('utf-8'))
        except ValueError:
            content = None
        ours = isinstance(content, dict) and content.get('schema') == SCHEMA
        self._check(ours, 'JSON')
        return content

    def _check(self, ours: bool, kind: str) -> None:
        if not ours:
            raise ValueError(
                f'{self.label}: the output folder has a {kind} file of its stem that '
                'another program wrote: choose another --out.'
            )

    def write(self, findings: VideoFindings, facts: Mapping[str, Any]) -> None:
        """Write both files; each appears whole, the JSON last.

        Args:
            findings: Of the video.
            facts: ``request``, ``top_k``, and ``path`` unless it is private.
        """
        with atomic_write(self.csv) as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(COLUMNS)
            writer.writerows(csv_rows(findings))
        with atomic_write(self.json) as file:
            content = describe(findings, facts)
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def describe_request(
    video: Path, models: Sequence[VideoModel], **more: Any
) -> dict[str, Any]:
    """What findings depend on: file, models, options and version.

    Args:
        video: An existing file; size and time of change stand for what is in it.
        models: In order.
        more: Further options.
    """
    chosen = asdict(models[0].options)
    for key in ('device', 'private', 'pose_models'):  # where, and not what
        del chosen[key]
    request = {
        'mmma_version': __version__,
        'video': source_identity(video),
        'models': [asdict(model.card) for model in models],
        'options': {**chosen, **more},
    }
    return json.loads(json.dumps(request))  # as it reads back


def csv_rows(findings: VideoFindings) -> Iterator[list[str]]:
    """Rows of the CSV file: one per clip, one per segment.

    Args:
        findings: Of the video.
    """
    for result in findings.results:
        rows = [result.answer] if isinstance(result, Recognition) else result.segments
        for found in rows:
            yield [
                result.model.task,
                f'{found.start_sec:.3f}',
                f'{found.end_sec:.3f}',
                found.action or '',
                found.body or '',
                f'{found.score:.4f}',
                _word(result.abstained),
                _word(result.simulated),
                result.model.name,
            ]


def _word(flag: bool) -> str:
    return 'true' if flag else 'false'


def describe(findings: VideoFindings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of the JSON file.

    Args:
        findings: Of the video.
        facts: As :meth:`Outputs.write` takes them.
    """
    file, skeletons = findings.file, findings.skeletons
    content: dict[str, Any] = {'schema': SCHEMA}
    content['video'] = {
        **({'path': facts['path']} if 'path' in facts else {}),
        'frames': file.frames,
        'fps': file.fps,
        'duration_sec': file.duration_sec,
        'first_frame_sec': file.first_frame_sec,
    }
    content['time'] = 'seconds from the first frame'
    content['simulated'] = any(result.simulated for result in findings.results)
    if skeletons is not None:
        content['skeletons'] = {
            'extractor': skeletons.extractor,
            'body_found': skeletons.body_found,
        }
    for result in findings.results:
        content[_KIND[result.model.task]] = _result(result, facts['top_k'])
    content['request'] = facts['request']
    return content


def _result(result: Recognition | Detection, top_k: int) -> dict[str, Any]:
    shared = {
        'model': asdict(result.model),
        'simulated': result.simulated,
        'abstained': result.abstained,
        'threshold': result.threshold,
        'notes': list(result.notes),
    }
    if isinstance(result, Recognition):
        answer = result.answer
        return {
            **shared,
            'start_sec': answer.start_sec,
            'end_sec': answer.end_sec,
            'action': answer.action,
            'body': answer.body,
            'score': answer.score,
            'actions': [_scored(found) for found in result.actions[:top_k]],
            'bodies': [_scored(found) for found in result.bodies],
        }
    return {
        **shared,
        'below_threshold': result.dropped,
        'segments': [_segment(found) for found in result.segments],
        'bodies': [_segment(found) for found in result.bodies],
    }


def _scored(found: Finding) -> dict[str, Any]:
    named = {'action': found.action} if found.action else {}
    return {**named, 'body': found.body, 'score': found.score}


def _segment(found: Finding) -> dict[str, Any]:
    times = {'start_sec': found.start_sec, 'end_sec': found.end_sec}
    return {**times, **_scored(found)}
