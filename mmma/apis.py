"""What tools and notebooks call."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.config import load_config, model_name
from mmma.data.clips import Clip, body_map
from mmma.data.joints import read_layout
from mmma.data.root import DataRoot
from mmma.evaluation.rows import (
    EvaluationOptions,
    Truth,
    recognition_row,
    recognition_rows,
)
from mmma.protocols import Protocol, make_protocol
from mmma.taxonomy import LabelSpace, check_choice, load_label_space

if TYPE_CHECKING:
    from mmma.engine.infer import (
        Detection,
        InferenceOptions,
        Recognition,
        Skeletons,
        VideoFile,
        VideoFindings,
        VideoModel,
    )


def recognize(
    video: str | Path,
    model: str | VideoModel,
    *,
    config: str | None = None,
    **options: Any,
) -> Recognition:
    """Which action a clip shows, by the same path as testing.

    Args:
        video: The file: one action, a few seconds.
        model: Model-zoo name, path or URL of a recognizer; or from :func:`open_model`,
            which saves loading it for each clip.
        config: Its config; by default what the zoo or the checkpoint names.
        **options: Fields of ``mmma.engine.infer.InferenceOptions``.

    Raises:
        FileNotFoundError: There is no such video, model or config.
        ValueError: The video cannot be read; the model is none, does not fit, or was
            trained on simulated data (``allow_simulated``) or on skeletons of another
            extractor (``allow_extractor``).
    """
    return _look(video, model, 'rec', config, options)  # type: ignore[return-value]


def detect(
    video: str | Path,
    model: str | VideoModel,
    *,
    config: str | None = None,
    **options: Any,
) -> Detection:
    """When which actions happen in a video of any length, by the path of testing.

    Args:
        video: The file.
        model: As of :func:`recognize`, a detector.
        config: Its config; by default what the zoo or the checkpoint names.
        **options: As of :func:`recognize`.

    Raises:
        FileNotFoundError: As :func:`recognize`.
        ValueError: As :func:`recognize`.
    """
    return _look(video, model, 'det', config, options)  # type: ignore[return-value]


def open_model(model: str, *, config: str | None = None, **options: Any) -> VideoModel:
    """A trained model for many videos.

    Args:
        model: Model-zoo name, path or URL.
        config: Its config; by default what the zoo or the checkpoint names.
        **options: As of :func:`recognize`.

    Raises:
        FileNotFoundError: There is no such model or config.
        ValueError: As :func:`recognize`, but for the video.
    """
    from mmma.engine.infer import InferenceOptions, VideoModel, config_of
    from mmma.engine.weights import read_checkpoint
    from mmma.hub.zoo import checkpoint_path

    known = tuple(InferenceOptions.__dataclass_fields__)
    for key in options:
        check_choice('option', key, known)
    chosen = InferenceOptions(**options)
    name, own_config = _zoo_entry(model)
    path = checkpoint_path(model, offline=chosen.private)
    weights = read_checkpoint(str(path))
    cfg = load_config(config or own_config or config_of(weights, name))
    extractor = None
    if cfg.test_dataloader.dataset.get('modality') == 'Pose':
        from mmma.media.extractors import describe_extractor

        extractor = describe_extractor(_pose_options(chosen))
    return VideoModel(name, weights, cfg, chosen, extractor)


def look_at(
    video: str | Path, models: Sequence[VideoModel], label: str | None = None
) -> VideoFindings:
    """What models say of a video; joints are found once for all of them.

    Work files lie in a folder that only the user can read, and are gone afterwards.

    Args:
        video: The file.
        models: From :func:`open_model`, with equal options.
        label: What messages call the video; by default its path, or with ``private``
            nothing that tells it.

    Raises:
        FileNotFoundError: There is no such video.
        ValueError: It cannot be read; or weights do not fit their config.
    """
    from mmma.engine.infer import VideoFindings, called, link_video

    for model in models:
        model.build()  # what is wrong with it is no fault of the video
    options = models[0].options
    label = label or ('the video' if options.private else str(video))
    with tempfile.TemporaryDirectory(prefix='mmma-') as folder, called(label, folder):
        file = link_video(Path(video), Path(folder))
        skeletons = None
        if any(model.card.modality == 'Pose' for model in models):
            skeletons = _find_skeletons(file, options)
        results = []
        for number, model in enumerate(models):
            seen = skeletons if model.card.modality == 'Pose' else None
            results.append(model.look(file, Path(folder, str(number)), seen))
    return VideoFindings(file, tuple(results), skeletons)


def _look(
    video: str | Path,
    model: str | VideoModel,
    task: str,
    config: str | None,
    options: Mapping[str, Any],
) -> Recognition | Detection:
    from mmma.engine.infer import VideoModel

    if not isinstance(model, VideoModel):
        model = open_model(model, config=config, **options)
    elif config is not None or options:
        raise ValueError('this model is open: give config and options to open_model.')
    require_task(model, task)
    return look_at(video, [model]).results[0]


def require_task(model: VideoModel, task: str) -> None:
    """Refuse a model of the other task.

    Args:
        model: From :func:`open_model`.
        task: ``rec`` or ``det``.

    Raises:
        ValueError: It is of the other one.
    """
    if model.card.task != task:
        use = {
            'rec': 'a recognizer: recognize() or --recog takes it, for clips',
            'det': 'a detector: detect() or --det takes it, for videos',
        }
        raise ValueError(f'{model.card.name} is {use[model.card.task]}.')


def _zoo_entry(model: str) -> tuple[str, str | None]:
    """Name of a model, and its config where the zoo has it."""
    from mmma.hub.zoo import list_models

    path = Path(model).expanduser()
    entry = {known.name: known for known in list_models()}.get(model)
    if path.is_file() or entry is None:
        return path.stem, None
    if entry.kind != 'ours':
        raise ValueError(
            f'{model} is what recipes start training from and names no actions; '
            'download.py --list shows models that do: kind ours.'
        )
    return entry.name, entry.config


def _pose_options(options: InferenceOptions) -> Any:
    from mmma.media.extractors import PoseOptions

    return PoseOptions(
        backend=options.pose_backend,
        persons=options.persons,
        smooth=options.smooth,
        models=None if options.pose_models is None else Path(options.pose_models),
        device=options.device or 'cpu',
    )


def _find_skeletons(file: VideoFile, options: InferenceOptions) -> Skeletons:
    """As ``data/pose.py`` finds them."""
    from mmma.engine.infer import Skeletons
    from mmma.media.extractors import describe_extractor
    from mmma.media.pose import extract_video

    pose = _pose_options(options)
    found = extract_video(file.path, pose)
    size = (found.width, found.height)
    return Skeletons(found.joints, found.fps, size, describe_extractor(pose))


def summarize(cfg: Any, outcome: Any, options: Any) -> dict[str, Any]:
    """Turn the scores of a tested checkpoint into the contents of ``results.json``.

    Args:
        cfg: The resolved config that was tested.
        outcome: ``mmma.engine.run.Outcome``.
        options: ``mmma.engine.run.TestOptions``.

    Returns:
        Plain types, as :func:`mmma.reporting.results.write_results` takes them.
    """
    from mmma.engine.fewshot import fewshot_settings
    from mmma.reporting.results import SCHEMA, environment

    root = DataRoot(cfg.data_root)
    protocol = make_protocol(cfg.protocol)
    measure = _measure_detection if cfg.task == 'det' else _measure_recognition
    measured = measure(cfg, outcome, root)
    given = {'seed': protocol.seed, 'subset': options.subset}
    broken = sorted({name for group in outcome.groups for name in group.broken})
    fewshot = protocol.name == 'fewshot'
    adaptation = fewshot_settings(cfg.fewshot) if fewshot else None
    return {
        'schema': SCHEMA,
        'task': cfg.task,
        'name': model_name(cfg),
        'protocol': protocol.as_dict(),
        'classes': measured['classes'],
        'checkpoint': outcome.checkpoint,
        'selected_on': outcome.selected_on,
        'target_seen': _targets_seen(outcome.seen_domains, protocol),
        'data': describe_data(cfg, root),
        'options': {
            'subset': options.subset,
            **measured['options'],
            'body_groups': _body_groups(cfg),
            'fast_dev_run': bool(cfg.get('fast_dev_run')),
            'skip_broken': options.skip_broken,
            'allow_extractor': options.allow_extractor,
        },
        'adaptation': adaptation,
        'broken': broken,
        'environment': environment(outcome.device),
        'config': cfg.to_dict(),
        'runs': [{**labels, **given, **row} for labels, row in measured['rows']],
    }


def _measure_recognition(cfg: Any, outcome: Any, root: DataRoot) -> dict[str, Any]:
    """``rows`` of scores with their labels, ``classes``, and ``options``."""
    clips = root.read_rec(_body_groups(cfg))
    space = body_map(clips, load_label_space(root.info.label_space, _body_groups(cfg)))
    evaluation = EvaluationOptions(
        class_set=cfg.test_evaluator.get('class_set', 'present'),
        body_scores=cfg.test_evaluator.get('body_scores', 'sum'),
        train_counts=_train_counts(clips, make_protocol(cfg.protocol), space),
    )
    by_name = {c.clip: c for c in clips}
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for group in outcome.groups:
        truth = Truth.from_clips(by_name[name] for name in group.table.names)
        if 'target' in group.labels:
            found = [recognition_row(group.table, truth, space, evaluation)]
        else:
            found = recognition_rows(group.table, truth, space, evaluation)
        rows += [(group.labels, row) for row in found]
    return {
        'rows': rows,
        'classes': list(space.actions),
        'options': {
            'class_set': evaluation.class_set,
            'body_scores': evaluation.body_scores,
        },
    }


def _measure_detection(cfg: Any, outcome: Any, root: DataRoot) -> dict[str, Any]:
    """``rows`` of detections with their labels, ``classes``, and ``options``."""
    from mmma.engine.test import detected_rows, evaluation_options

    space = root.label_space(_body_groups(cfg))
    options, record = evaluation_options(cfg.test_evaluator)
    return {
        'rows': detected_rows(outcome.groups, root.read_det(), space, options),
        'classes': list(space.actions),
        'options': record,
    }


def _body_groups(cfg: Any) -> str:
    return cfg.test_dataloader.dataset.get('body_groups', 'taxonomy')


def describe_data(cfg: Any, root: DataRoot) -> dict[str, Any]:
    """Name, fingerprint and kind of the data behind a result."""
    info = root.info
    data = {
        'name': info.name,
        'fingerprint': root.fingerprint(),
        'simulated': info.simulated,
        'source': info.source,
        'packed': info.packed,
    }
    if cfg.test_dataloader.dataset.get('modality') == 'Pose':
        layout = read_layout(root.path / 'skeletons')
        data['skeleton_layout'] = {
            'extractor': layout.extractor,
            'joints': len(layout.names),
        }
    return data


def _targets_seen(
    seen_domains: list[str] | None, protocol: Protocol
) -> list[str] | None:
    """Targets that were trained on, which the results must own up to; None: unknown."""
    if protocol.name == 'indomain':
        return []
    if seen_domains is None:
        return None
    return sorted(set(seen_domains) & set(protocol.target))


def _train_counts(
    clips: list[Clip], protocol: Protocol, space: LabelSpace
) -> list[int]:
    """Training clips of each action under a protocol, (K,)."""
    counts = Counter(
        c.action
        for c in clips
        if c.subset == 'train' and c.domain in protocol.train_domains
    )
    return [counts[action] for action in range(space.num_actions)]
