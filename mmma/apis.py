"""What tools and notebooks call."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mmma.config import load_config, model_name
from mmma.data.clips import Clip, body_map
from mmma.data.joints import read_layout
from mmma.data.root import DataRoot
from mmma.engine.infer import detect, look_at, open_model, recognize
from mmma.evaluation.rows import (
    EvaluationOptions,
    Truth,
    recognition_row,
    recognition_rows,
)
from mmma.protocols import Protocol, make_protocol
from mmma.taxonomy import LabelSpace, load_label_space

__all__ = [
    'detect',
    'load_config',
    'look_at',
    'open_model',
    'recognize',
    'summarize',
]


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
