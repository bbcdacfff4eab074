"""Test of a checkpoint under a protocol, and detection in videos of any length.

A video is cut into windows that overlap. Their detections are joined, and thinned out
by one NMS per level (``mmma.structures.samples``).
"""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch import nn

from mmma import compat
from mmma.checkpoints import check_simulated, load_trained
from mmma.data.videos import true_segments, write_detections
from mmma.engine import weights
from mmma.engine.adapt import adapt_settings, score_adapt
from mmma.engine.features import FeatureSource
from mmma.engine.fewshot import fewshot_settings, score_fewshot, source_classifier
from mmma.engine.hooks import class_power, tell_classes
from mmma.engine.rerank import score_reranked
from mmma.engine.run import Run, TestOptions, describe_data, open_run
from mmma.engine.runner import ConsoleRunner, unwrapped
from mmma.engine.weights import Weights
from mmma.evaluation import rows, scores
from mmma.evaluation.calibration import read_calibration
from mmma.evaluation.rows import Group
from mmma.protocols import selected_by
from mmma.registry import METRICS
from mmma.structures.samples import WindowMerger
from mmma.structures.segments import FrameScores, Segments
from mmma.taxonomy import LabelSpace


def score_checkpoint(
    run: Run, checkpoint: str | Weights, options: TestOptions
) -> tuple[list[Group], dict[str, Any]]:
    """Score a checkpoint (path, URL or read) under the protocol of a run, on all ranks.

    The run was opened with the same options.

    Returns:
        The groups, and what :func:`summarize` tells of the weights.

    Raises:
        ValueError: As :func:`load_runner`; or a clip or video that cannot be read.
    """
    k = options.rerank
    if k and (run.task != 'rec' or run.protocol.name not in ('indomain', 'zeroshot')):
        told = f'not in {"detection" if run.task == "det" else run.protocol.name}'
        raise ValueError(f'--rerank is for recognition, indomain or zeroshot, {told}.')
    runner, loaded = load_runner(run, checkpoint, options)
    record = loaded.record()
    cached = record['sha256'] if options.cache else None
    origin = {
        'checkpoint': record,
        'seen_domains': loaded.meta.get('seen_domains'),
        'selected_on': loaded.meta.get('selected_on', {}),
        'calibration': None if k else read_calibration(loaded.meta, run.task),
    }
    if not k:
        subset = options.subset
        return score_protocol(run, runner, subset, cached, loaded.meta), origin
    source = FeatureSource(runner, cached)
    groups, origin['rerank'] = score_reranked(run, source, k, options.subset)
    return groups, origin


def score_emotions(
    config: str, checkpoint: str, root: str
) -> tuple[list[scores.ScoreTable], Any]:
    """Scores of val and of test by a recognizer of emotions, and its config.

    Raises:
        ValueError: It learns actions; and as for :func:`score_checkpoint`.
    """
    tables: list[Any] = []
    for subset in ('val', 'test'):
        options = TestOptions(subset=subset)
        run = open_run(config, None, root, options=options)
        if run.cfg.get('label') != 'emotion':
            told = f"{config} learns actions: use one with label = 'emotion'"
            raise ValueError(f'{told}, as those of configs/emotion')
        groups = score_checkpoint(run, checkpoint, options)[0]
        tables += [group.table for group in groups]
    return tables, run.cfg


def load_runner(
    run: Run, checkpoint: str | Weights, options: TestOptions
) -> tuple[Runner, Weights]:
    """Build what tests a checkpoint: a runner whose model holds it, and the weights.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The weights do not fit, or are not allowed on these data.
    """
    loaded = checkpoint
    if not isinstance(loaded, Weights):
        loaded = weights.read_checkpoint(loaded, trust=options.trust)
    check_simulated(loaded.meta, run.root.info, options.allow_simulated)
    weights.check_extractor(loaded.meta, run, options)
    weights.check_source(loaded, run.protocol)
    runner = ConsoleRunner.from_cfg(run.cfg)
    model = unwrapped(runner.model)
    space = run.space
    names = (space.name, space.actions, str(loaded.path), space.bodies)
    loaded = weights.with_frozen(model, loaded, run.cfg)
    load_trained(model, loaded.content, *names)
    tell_classes(model, runner.test_dataloader.dataset.metainfo)
    return runner, loaded


def score_protocol(
    run: Run,
    runner: Runner,
    subset: str = 'test',
    cached: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> list[Group]:
    """Score the tested clips or videos of a protocol.

    Args:
        cached: SHA-256 of the checkpoint, to keep features under; None keeps none.
        meta: What the checkpoint tells of its training, before what the config does.

    Returns:
        For ``indomain`` one group over all tested domains; for ``zeroshot`` one per
        target; for ``fewshot`` per target: zero-shot, its controls, and per number of
        shots and run the control of the prior and the adapted scores; or as
        :func:`score_adapt` says.
    """
    if (protocol := run.protocol).name == 'adapt':
        return score_adapt(run, runner, cached, subset)
    if protocol.name == 'fewshot':
        linear = fewshot_settings(run.cfg.fewshot)['adapt'] != 'finetune'
        source = FeatureSource(runner, cached, linear)
        adapted = source_classifier(runner.model) if linear else runner
        told, own = meta or {}, list(protocol.train_domains)
        power = told.get('class_power', class_power(run.cfg))
        if (told.get('protocol') or {}).get('train_domains', own) != own:
            power = None  # the clips of other domains are not counted
        return score_fewshot(run, source.features, adapted, subset, power)
    metric = runner.test_loop.evaluator.metrics[0]
    metric.makes_rows = False  # they are made from its scores, with intervals
    runner.test()
    whole = Group({'domain': protocol.domain}, metric.table, metric.broken)
    if protocol.name == 'indomain':
        return [whole]
    meta = runner.test_dataloader.dataset.metainfo
    names = meta['videos' if run.task == 'det' else 'clips']
    domain_of = dict(zip(names, meta['domains'], strict=True))
    return [
        whole.select({'target': target}, lambda n, t=target: domain_of[n] == t)
        for target in protocol.target
    ]


def summarize(
    run: Run, groups: Sequence[Group], origin: Mapping[str, Any], options: TestOptions
) -> dict[str, Any]:
    """Turn the scores of a tested checkpoint into the contents of ``results.json``.

    Args:
        groups: In the order of the results' rows.
        origin: Of the weights: ``checkpoint`` (path, SHA-256, ``pretrain_data``),
            ``seen_domains`` (None where they do not say), ``selected_on`` (None for the
            last of a run, empty where they do not say), perhaps ``rerank``.
    """
    cfg, protocol = run.cfg, run.protocol
    entries, chosen, record = _options_of_rows(run)
    found = rows.group_rows(groups, entries, run.space, chosen, protocol.domains)
    given = {'seed': protocol.seed, 'subset': options.subset}
    data = describe_data(run)
    extractor = data.pop('extractor', None)
    data['packed'] = run.root.info.packed
    if run.layout:
        joints = len(run.layout.names)
        data['skeleton_layout'] = {'extractor': extractor, 'joints': joints}
    seen = [] if protocol.name == 'indomain' else origin['seen_domains']
    if seen is not None:  # the results must own up to it
        seen = sorted(set(seen) & set(protocol.target))
    fewshot, told = protocol.name == 'fewshot', origin['selected_on']
    reranked = origin.get('rerank')
    adapted = adapt_settings(cfg) if protocol.name == 'adapt' else {}
    chosen_by = {'by': 'last'} if told is None else None
    if told:  # else the weights do not say
        targets = protocol.target if protocol.name != 'indomain' else ()
        chosen_by = {'by': selected_by(told, targets), **told}
    versions = {'python': platform.python_version(), **compat.versions()}
    names = ('python', 'mmma', 'torch', 'mmengine', 'mmcv-lite', 'mmaction2', 'numpy')
    environment = {name: versions[name] for name in names}  # no person, no machine
    gpu = torch.cuda.is_available()
    environment['device'] = torch.cuda.get_device_name() if gpu else 'cpu'
    return {
        'schema': rows.SCHEMA,
        'task': run.task,
        'name': run.name + (', reranked' if reranked else ''),
        'protocol': protocol.as_dict(),
        'classes': list(run.space.actions),
        'checkpoint': origin['checkpoint'],
        'selected_on': chosen_by,
        'target_seen': seen,
        'data': data,
        'options': {
            'subset': options.subset,
            **record,
            **({'label': label} if (label := cfg.get('label')) else {}),
            'body_groups': run.body_groups,
            'fast_dev_run': bool(cfg.get('fast_dev_run')),
            'skip_broken': options.skip_broken,
            'allow_extractor': options.allow_extractor,
            **{f'adapt.{key}': value for key, value in adapted.items()},
        },
        'adaptation': fewshot_settings(cfg.fewshot) if fewshot else None,
        **({'rerank': reranked} if reranked else {}),
        'broken': sorted({name for group in groups for name in group.broken}),
        'environment': environment,
        'config': cfg.to_dict(),
        'runs': [{**labels, **given, **row} for labels, row in found],
    }


def _options_of_rows(run: Run) -> tuple[Any, Any, dict[str, Any]]:
    """Truth of all rows, options that move their numbers, and the record of these."""
    evaluator = run.cfg.test_evaluator
    if run.task == 'det':
        metric = METRICS.build(dict(evaluator))
        known = metric.options
        chosen = rows.DetectionOptions(preset=known.preset, body_rule=known.body_rule)
        record = {
            **chosen.record(),
            'nms': asdict(metric.merging['nms']),
            'max_candidates': metric.merging['max_candidates'],
            'join_sec': metric.merging['join_sec'],
        }
        return run.root.read_det(), chosen, record
    clips = run.clips()
    source = run.protocol.train_domains
    own = (c for c in clips if c.subset == 'train' and c.domain in source)
    counts = Counter(clip.action for clip in own)
    record = {
        'class_set': evaluator.get('class_set', 'present'),
        'body_scores': evaluator.get('body_scores', 'sum'),
    }
    trained = [counts[action] for action in range(run.space.num_actions)]
    return clips, rows.EvaluationOptions(**record, train_counts=trained), record


@torch.no_grad()
def detect_videos(
    model: nn.Module,
    windows: Iterable[Mapping[str, Any]],
    merger: WindowMerger,
    batch_size: int = 1,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Detect in videos of any length with constant memory.

    What is held are the windows of a batch and the ``max_candidates`` of the merger per
    level, if ``windows`` makes each when it is asked for.

    Args:
        model: A ``SegmentDetector`` in evaluation mode.
        windows: Packed samples; those of a video follow one another, as an
            ``UntrimmedDataset`` in test mode gives them.

    Yields:
        Each video as soon as its last window is done, with its detections by level.
    """
    waiting = iter(windows)
    while batch := list(islice(waiting, batch_size)):
        for sample in model.test_step(pseudo_collate(batch)):
            more = sample.get('pred_body'), sample.get('pred_frames')
            merger.add(sample.pred, *more)
            if sample.window_index == sample.num_windows - 1:
                yield sample.video, merger.finish()


def scored_truth(run: Run, groups: Sequence[Group]) -> tuple[Any, Any, LabelSpace]:
    """Scores of groups, their truth and label space, as ``calibration.fit`` takes."""
    tables, entries = [group.table for group in groups], _options_of_rows(run)[0]
    if run.task == 'rec':
        table, action = scores.join_tables(tables), {c.clip: c.action for c in entries}
        return table, np.array([action[name] for name in table.names]), run.space
    kinds = {level: type(own) for level, own in tables[0].items()}
    found = {k: kind.concat([t[k] for t in tables]) for k, kind in kinds.items()}
    videos = [v for v in entries if v.video in {*found['action'].names}]
    return found, true_segments(videos), run.space


def write_dump(run: Run, groups: Sequence[Group], dump: Path) -> None:
    """Write the scores or detections that were tested, of a dense head also of frames.

    A protocol that adapts has several files, as ``scores_street_5shot_run0.npz``.
    """
    if run.task == 'det':
        found = Segments.concat([group.table['action'] for group in groups])
        write_detections(dump, found, run.space)
        if 'frames' in groups[0].table:
            frames = FrameScores.concat([group.table['frames'] for group in groups])
            table = scores.frame_table(frames, run.space)
            scores.write_scores(dump.with_suffix('.frames.npz'), table, run.space)
    elif run.protocol.name in ('fewshot', 'adapt'):
        for group in groups:
            name = dump.stem + scores.file_tag(group.labels) + dump.suffix
            scores.write_scores(dump.with_name(name), group.table, run.space)
    else:
        table = scores.join_tables([group.table for group in groups])
        scores.write_scores(dump, table, run.space)
