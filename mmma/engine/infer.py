"""Predictions for one video by the pipeline that tests a model."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch import nn

from mmma import __version__
from mmma.checkpoints import check_simulated, file_sha256, load_trained
from mmma.config import config_folders, load_config, zoo_config
from mmma.data.joints import WHOLEBODY65, decode_joints
from mmma.data.root import DatasetInfo
from mmma.datasets.clips import refuse_key_frames_only, space_meta
from mmma.datasets.windows import WindowOptions
from mmma.engine import findings
from mmma.engine.findings import Answer, Finding, InferenceOptions, ModelCard
from mmma.engine.hooks import tell_classes
from mmma.engine.test import detect_videos
from mmma.engine.weights import Weights, read_checkpoint, with_frozen
from mmma.evaluation.calibration import calibrated, described, read_calibration
from mmma.evaluation.recognition import summed_body_scores
from mmma.files import progress, source_identity
from mmma.hub.zoo import checkpoint_path, list_models
from mmma.media.pose import Partial, PoseOptions, describe_extractor, extract_video
from mmma.packets import BrokenVideoError, index_video
from mmma.registry import METRICS, MODELS
from mmma.structures.segments import Segments
from mmma.taxonomy import LabelSpace, check_choice, load_label_space, space_of_meta

LONG_SEC = 30  # more is noted in recognition, and a bar tells how far it is
SEGMENT_THRESHOLD = 0.2
"""Lowest score of a segment, unless the user says. On the simulated test videos of the
laboratory, ``skeletondet-tiny`` then shows 3.7 segments per video, as many as are
true. Checkpoints that their training calibrated have a threshold of their own."""


def pose_options(options: InferenceOptions) -> PoseOptions:
    """Options of the extractor of joints."""
    models = options.pose_models and Path(options.pose_models)
    given = options.pose_backend, options.persons, options.smooth
    return PoseOptions(*given, models, options.device or 'cpu', options.skeletons)


class VideoModel:
    """A trained model for video files, built when the first one comes.

    ValueError: it sees neither pictures nor joints, or is of simulated data or another
    extractor, and that was not allowed.
    """

    def __init__(
        self, name: str, weights: Weights, cfg: Any, options: InferenceOptions
    ) -> None:
        modality = cfg.test_dataloader.dataset.get('modality', 'RGB')
        pose = 'Pose' in modality and options.pose_backend
        extractor = describe_extractor(pose_options(options)) if pose else None
        data = weights.meta.get('data') or {}
        real = DatasetInfo('videos', cfg.label_space, simulated=False)
        check_simulated(weights.meta, real, options.allow_simulated)
        if modality == 'Feature':
            raise ValueError(
                f'{name} sees {modality.lower()}s of another model, which are '
                'extracted for data roots only (tools/data/features.py): take a model '
                'that sees video or skeletons.'
            )
        resolved = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
        self.options = options
        config = Path(cfg.filename).stem, hashlib.sha256(resolved.encode()).hexdigest()
        space = load_label_space(cfg.label_space).name
        trained = data.get('name'), bool(data.get('simulated')), extractor
        told = read_calibration(weights.meta, cfg.task)
        facts = name, cfg.task, modality, file_sha256(weights.path), *config, space
        self.card = ModelCard(*facts, *trained, told)
        self.notes = tuple(_model_notes(self.card, data.get('extractor'), options))
        self.space = own_label_space(weights.meta, cfg.label_space)
        self._cfg, self._weights = cfg, weights
        self._model: nn.Module | None = None

    def build(self) -> nn.Module:
        """The model in evaluation mode, built once; ValueError: it does not fit."""
        if self._model is None:
            init_default_scope('mmma')
            self.pipeline = Compose(self._cfg.test_dataloader.dataset.pipeline)
            refuse_key_frames_only(self.pipeline)
            space = load_label_space(self._cfg.label_space)
            model = MODELS.build(self._cfg.model)
            whole = with_frozen(model, self._weights, self._cfg, self.options.private)
            names = (space.name, space.actions, str(whole.path), space.bodies)
            load_trained(model, whole.content, *names)
            tell_classes(model, space_meta(self.space))
            self._model = model.to(self.options.device or get_device()).eval()
            del self._weights
        return self._model

    def look(
        self, path: Path, video: dict[str, Any], skeletons: Partial | None, label: str
    ) -> Answer:
        """Ask the model what a video shows, and its skeletons if it sees those.

        With a label, how far it is in the windows of a video is shown under it. A frame
        that cannot be read raises BrokenVideoError.
        """
        task, duration_sec = self.card.task, video['duration_sec']
        found, dropped, below, frames = {}, 0, (), None
        notes = (*self.notes, *_video_notes(task, duration_sec, skeletons))
        seen = skeletons is None or findings.body_seen(skeletons) > 0
        sample = _sample(path, self.card.modality, skeletons)
        given, told = self.options.threshold, self.card.calibration
        chosen, lowest = 'the user', dict.fromkeys(self.space.levels, given)
        if given is None:
            chosen = told['on'] if task == 'det' and 'action' in told else 'default'
            default = SEGMENT_THRESHOLD if task == 'det' else 0.0
            lowest = {k: told.get(k, {}).get('threshold', default) for k in lowest}
        if task == 'rec':
            for level, pair in self._scores(sample).items():
                rows = [(0.0, duration_sec, i) for i in range(len(pair[0]))]
                found[level] = self._findings(level, rows, *pair)
            abstained = not seen or found['action'][0].score < lowest['action']
        else:
            levels, abstained = dict[str, Any](), not seen
            if seen:  # in memory that does not grow
                model, samples = self.build(), self.windows(sample, duration_sec)
                packed, bar = map(self.pack, samples), f'{label}: windows'
                shown = progress(packed, len(samples), bar) if label else packed
                merger = METRICS.build(dict(self._cfg.test_evaluator)).merger
                how = merger(self.space.body_of), self._cfg.test_dataloader.batch_size
                ((_, levels),) = detect_videos(model, shown, *how)
            frames = levels.get('frames')  # of a dense head
            for level in self.space.levels:
                table = levels.get(level, Segments([], [], []))
                pair = table.scores, calibrated(told, level, table, self.space)
                columns = *table.segments_sec.T, table.labels
                rows = list(zip(*(c.tolist() for c in columns), strict=True))
                whole = self._findings(level, rows, *pair)
                found[level] = tuple(f for f in whole if f.score >= lowest[level])
                if level == 'action':
                    dropped = len(whole) - len(found[level])
                    rest = whole[len(found[level]) :]  # best first
                    least = lowest[level] / 4
                    below = [f for f in rest if f.score >= least]
        below = tuple(below[: findings.MOST_BELOW])
        return Answer(
            *(self.card, video, found['action'], found.get('body', ()), abstained),
            *(lowest['action'], dropped, notes, skeletons, chosen, below),
            frames and (frames, self.space),
        )

    @torch.no_grad()
    def _scores(self, sample: Mapping[str, Any]) -> dict[str, list[np.ndarray]]:
        """Scores of actions (K,), of body groups (B,) if any; each also calibrated."""
        model = self.build()
        found = model.test_step(pseudo_collate([self.pack(sample)]))[0]
        raw = found.pred_score.float().cpu().numpy()
        own = found.get('pred_body_score')
        pair = [raw, calibrated(self.card.calibration, 'action', raw, self.space)]
        if not self.space.bodies:
            return {'action': pair}
        if self._cfg.test_evaluator.get('body_scores') == 'head' and own is not None:
            return {'action': pair, 'body': [own.float().cpu().numpy()] * 2}
        bodies = self.space.body_of, self.space.num_bodies
        sums = [summed_body_scores(scores[None], *bodies)[0] for scores in pair]
        return {'action': pair, 'body': sums}

    def windows(self, sample: Mapping[str, Any], video_sec: float) -> list[Any]:
        """Samples of the windows of a video, before they are packed."""
        options = self._cfg.test_dataloader.dataset.get('window') or {}
        windows = WindowOptions(**options).tile(video_sec)
        more = {**sample, 'num_windows': len(windows)}
        return [more | dict(window=w, window_index=i) for i, w in enumerate(windows)]

    def _findings(
        self, level: str, rows: Sequence[Any], raw: np.ndarray, scores: np.ndarray
    ) -> tuple[Finding, ...]:
        """Findings of rows (start, end, label), best first; raw scores if others."""
        kept = [None] * len(rows) if np.array_equal(raw, scores) else raw.tolist()
        whole = [
            Finding(*times, *self._names(label, level), *pair)
            for (*times, label), *pair in zip(rows, scores.tolist(), kept, strict=True)
        ]
        return tuple(whole[i] for i in np.argsort(-scores, kind='stable').tolist())

    def pack(self, sample: Mapping[str, Any]) -> Any:
        """The sample of a clip or window that goes into the model."""
        try:
            return self.pipeline(dict(sample))
        except BrokenVideoError as error:
            reason = f'cannot be read: {error.reason}'
            raise BrokenVideoError(error.path, reason) from None

    def _names(self, label: int, level: str) -> tuple[str | None, str | None]:
        space = self.space
        if level == 'body':
            return None, space.bodies[label]
        body = space.bodies[space.body_of[label]] if space.bodies else None
        return space.actions[label], body


class PlainModel(nn.Module):
    """A trained model as a plain module, tensors in and out (README, In Python)."""

    def __init__(self, opened: VideoModel) -> None:
        super().__init__()
        self.model, self.opened = opened.build(), opened
        self.card, self.classes = opened.card, opened.space.actions

    def transform(self, video: str | Path | Partial) -> torch.Tensor:
        """Inputs of a clip, or (windows, ...) of a video: a file, or its skeletons."""
        found = video if isinstance(video, Partial) else None
        path, seen = Path('skeletons' if found else str(video)), self.card.modality
        if found and seen != 'Pose':
            told = f'{self.card.name} sees {seen}'
            raise ValueError(f'{told}: give a file, not skeletons.')
        sec = len(found.joints) / found.fps if found else index_video(path).duration_sec
        if seen == 'Pose' and not found:
            found = extract_video(path, PoseOptions('mediapipe'))
        sample, pack = _sample(path, seen, found), self.opened.pack
        if self.card.task == 'rec':
            return pack(sample)['inputs']
        windows = self.opened.windows(sample, sec)
        return torch.stack([pack(window)['inputs'] for window in windows])

    def forward(self, inputs: torch.Tensor) -> Any:
        """Probabilities (N, K) of clips; of windows what the head gives, by name."""
        prepare = self.model.data_preprocessor.to(next(self.parameters()).device)
        steps = self.opened.pipeline.transforms
        scales = [getattr(step, 'scale', None) for step in steps]
        shape = [(), *filter(None, scales)][-1][::-1]  # of heatmaps
        meta = dict(positions=inputs.shape[2], valid=inputs.shape[2], img_shape=shape)
        samples = [ActionDataSample(metainfo=meta) for _ in inputs]
        batch = prepare({'inputs': list(inputs), 'data_samples': samples})
        if self.card.task == 'det':
            return self.model(**batch, mode='tensor')
        return torch.stack([s.pred_score for s in self.model(**batch, mode='predict')])


def from_pretrained(model: str, config: str | None = None) -> PlainModel:
    """A trained model as a plain module, on the CPU; arguments of :func:`recognize`."""
    chosen = dict(device='cpu', allow_simulated=True, pose_backend='')  # none is needed
    opened = open_model(model, config=config, **chosen)
    if opened.card.modality == 'RGB+Pose':
        told = f'{opened.card.name} sees frames and joints, which are no one tensor'
        raise ValueError(f'{told}: use mmma.recognize.')
    for note in opened.notes[1:]:  # the first is on calibration
        warnings.warn(note, stacklevel=2)
    return PlainModel(opened)


def config_of(weights: Weights, name: str) -> str:
    """The config that a checkpoint was trained with; one not of mmma: ValueError.

    Its file name alone is used: no text or path of a checkpoint is ever run.
    """
    wanted = Path(weights.meta.get('config_name') or '').name
    places = [p for folder in config_folders() for p in sorted(folder.glob('[!_]*'))]
    for place in places if wanted else ():
        if (place / wanted).is_file():
            return str(place / wanted)
    why = f'names {wanted!r}, which does not come with mmma' if wanted else 'names none'
    raise ValueError(
        f'{name}: the config that it was trained with is not known (it {why}): give '
        'it (--config-recog, --config-det, or config=).'
    )


def own_label_space(meta: Mapping[str, Any], own: Any) -> LabelSpace:
    """A config's label space, with the body groups that a checkpoint tells of."""
    space = load_label_space(own)
    told = [meta.get(key) or () for key in ('classes', 'bodies', 'body_of')]
    classes, bodies, groups = map(list, told)
    same = sorted(classes) == sorted(space.actions) and len(groups) == len(classes)
    if not same or sorted(bodies) != sorted(space.bodies):
        return space
    group_of = dict(zip(classes, groups, strict=True))
    body_of = [space.bodies.index(bodies[group_of[a]]) for a in space.actions]
    return space.with_body_of(body_of)


def _sample(path: Path, modality: str, skeletons: Partial | None) -> dict[str, Any]:
    """Sample of a video whose truth is unknown, before the pipeline."""
    sample = dict(filename=str(path), modality=modality, start_index=0, video='video')
    sample['gt_segments'] = np.zeros((0, 2), np.float32)
    sample['gt_labels'] = np.zeros(0, np.int64)
    if skeletons is not None:
        keypoints, scores = decode_joints(skeletons.joints, WHOLEBODY65.score_scale)
        sample |= dict(keypoint=keypoints, keypoint_score=scores, layout=WHOLEBODY65)
        size = skeletons.height, skeletons.width
        sample |= dict(fps=skeletons.fps, img_shape=size)
    return sample


def _model_notes(
    card: ModelCard, trained: str | None, options: InferenceOptions
) -> Iterator[str]:
    """Notes to bear in mind of a model; refuses skeletons that it does not know."""
    yield f'{card.name}: {described(card.calibration)}'
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
    task: str, duration_sec: float, skeletons: Partial | None
) -> Iterator[str]:
    """Notes to bear in mind of a video."""
    if task == 'rec' and duration_sec > LONG_SEC:
        yield (
            f'one action was asked of {duration_sec:.0f} s: models learn from '
            'clips of a few seconds; a detector finds actions in long videos'
        )
    found = 1.0 if skeletons is None else findings.body_seen(skeletons)
    if not found:
        yield 'no body was found in any frame: nothing can be said'
    elif found < 0.5:
        yield f'a body was found in only {found:.0%} of the frames'


def open_model(model: str, *, config: str | None = None, **options: Any) -> VideoModel:
    """Open a trained model for many videos; otherwise as :func:`recognize`."""
    for key in options:
        check_choice('option', key, tuple(InferenceOptions.__dataclass_fields__))
    chosen = InferenceOptions(**options)
    path = Path(model).expanduser()
    entry = {known.name: known for known in list_models()}.get(model)
    if path.is_file() or entry is None:
        name = path.stem
    elif entry.kind == 'ours':
        name, config = entry.name, config or str(zoo_config(str(entry.config)))
    else:
        raise ValueError(
            f'{model} is what recipes start training from and names no actions; '
            'download.py --list shows models that do: kind ours.'
        )
    weights = read_checkpoint(str(checkpoint_path(model, offline=chosen.private)))
    told = weights.meta.get('label_space')
    space = space_of_meta(weights.meta).plain() if told else None
    cfg = load_config(config or config_of(weights, name), label_space=space)
    return VideoModel(name, weights, cfg, chosen)


def recognize(video: str | Path, model: str | VideoModel, **options: Any) -> Answer:
    """Name the action that a clip of a few seconds shows, as testing does.

    Args:
        model: Model-zoo name, path or URL of a recognizer; or from :func:`open_model`.
        **options: ``config``, by default what the zoo or the checkpoint names; fields
            of ``mmma.engine.findings.InferenceOptions``.

    No such video, model or config raises FileNotFoundError; a video that cannot be
    read, no model, and as of :class:`VideoModel`, ValueError.
    """
    return _look(video, model, 'rec', options)


def detect(video: str | Path, model: str | VideoModel, **options: Any) -> Answer:
    """Find the actions in a video of any length; as :func:`recognize`."""
    return _look(video, model, 'det', options)


def _look(video: str | Path, model: Any, task: str, options: Any) -> Answer:
    if not isinstance(model, VideoModel):
        model = open_model(model, **options)
    elif options:
        raise ValueError('this model is open: give config and options to open_model.')
    require_task(model, task)
    return look_at(video, [model])[0]


def require_task(model: VideoModel, task: str) -> None:
    """Refuse a model of the other task, ``rec`` or ``det``."""
    if model.card.task != task:
        use = {
            'rec': 'a recognizer: recognize() or --recog takes it, for clips',
            'det': 'a detector: detect() or --det takes it, for videos',
        }
        raise ValueError(f'{model.card.name} is {use[model.card.task]}.')


def look_at(
    video: str | Path, models: Sequence[VideoModel], label: str = '', bar: bool = False
) -> tuple[Answer, ...]:
    """Ask models, opened with equal options, what a video shows; joints are found once.

    Messages call the video by its ``label``, by default its path unless it is private;
    ``bar`` shows on standard error how far it is in a long one.
    """
    for model in models:
        model.build()  # what is wrong with it is no fault of the video
    options = models[0].options
    path = Path(video).absolute()
    label = label or ('the video' if options.private else str(video))
    try:
        pose = any(model.card.extractor for model in models)
        with _called(label, path):
            known = index_video(path).facts
            shown = label if bar and known['duration_sec'] > LONG_SEC else ''
            chosen = pose_options(options)
            found = extract_video(path, chosen, label=shown) if pose else None
            return tuple(
                model.look(path, known, found if model.card.extractor else None, shown)
                for model in models
            )
    except FileNotFoundError:
        raise FileNotFoundError(f'{label}: no such video file') from None
    except (ValueError, RuntimeError) as error:
        reason = error.reason if isinstance(error, BrokenVideoError) else str(error)
        raise ValueError(f'{label}: {reason.replace(str(path), label)}') from None


@contextmanager
def _called(label: str, path: Path) -> Iterator[None]:
    """Let warnings call a video by its label."""
    with warnings.catch_warnings(record=True) as told:
        yield
    for warning in told:
        text = str(warning.message).replace(str(path), label)
        warnings.warn(text, warning.category, stacklevel=3)


def describe_request(
    video: Path, models: Sequence[VideoModel], **more: Any
) -> dict[str, Any]:
    """What findings depend on: file (size, time), models, options, version, more."""
    chosen = asdict(models[0].options)
    for key in ('device', 'private', 'pose_models', 'skeletons'):  # where, not what
        del chosen[key]
    request = dict(mmma_version=__version__, video=source_identity(video))
    request['models'] = [asdict(model.card) for model in models]
    request['options'] = {**chosen, **more}
    return json.loads(json.dumps(request))  # as it reads back
