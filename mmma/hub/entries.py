"""What the metafiles say of a published model, computed from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmma.hub.metafiles import modality
from mmma.hub.training_run import training_resources
from mmma.hub.zoo_folder import ZooFolder

_BY_HAND = ('Architecture', 'Training Resources')
TASKS = {'rec': 'Action Recognition', 'det': 'Temporal Action Detection'}
METRICS = {
    'rec': (
        *('action/top1', 'action/top5', 'action/mca', 'action/macro_f1'),
        *('body/top1', 'body/mca', 'body/macro_f1', 'F1_mean'),
    ),
    'det': (
        *(f'action/mAP@{t}' for t in ('0.20', '0.50', '0.70')),
        *('action/mAP', 'body/mAP', 'AVG'),
    ),
}


def metafile_entry(
    model: ZooFolder,
    config: str | None,
    metafile: Mapping[str, Any],
    noted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Entry of a published model.

    Args:
        model: Its folder.
        config: Its leaf beside the zoo; None names the config of the folder.
        metafile: Of its method; what people wrote in an entry of the same weights is
            kept.
        noted: ``Metadata`` that neither weights nor log tell: ``Architecture``; or
            better than the log: ``Training Resources``.
    """
    old = _entry_of(metafile, model.name)
    if old.get('Weights SHA256') != model.sha256:
        old = {}
    log = model.path / 'train.log'
    text = log.read_text(encoding='utf-8') if log.is_file() else ''
    kept = (old.get('Metadata') or {}).items()
    metadata = {
        'Training Resources': training_resources(text),
        **{key: value for key, value in kept if key in _BY_HAND},
        **(noted or {}),
        **_facts(model.meta),
    }
    results = list(result_items(model))
    return {
        'Name': model.name,
        'Config': config or f'{model.relative.rpartition("/")[0]}/config.py',
        'Modality': modality(model.cfg),
        'Metadata': {k: v for k, v in metadata.items() if v is not None},
        **({'Paper': old['Paper']} if 'Paper' in old else {}),
        'License': old.get('License') or license_of(metafile, model.meta),
        **({'Results': results} if results else {}),
        'Weights': model.relative,
        'Weights SHA256': model.sha256,
        'Weights Size': model.weights.stat().st_size,
    }


def _facts(meta: Mapping[str, Any]) -> dict[str, Any]:
    data = meta['data']
    source = f' ({data["source"]})' if data.get('source') else ''
    return {
        'Parameters': meta.get('parameters'),
        'Pretrained': _started_from(meta),
        'Training Data': f'{data.get("name")}{source}',
        'Simulated': bool(data.get('simulated')),
        'Protocol': meta['protocol']['name'],
        'Epochs': meta.get('epoch'),
        'Precision': meta.get('precision'),
    }


def _started_from(meta: Mapping[str, Any]) -> str | None:
    data = meta.get('pretrain_data')
    return None if data in (None, 'none') else str(data)


def license_of(metafile: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    """Licence of the weights: that of those they started from, or of the code."""
    told = ((metafile.get('Collections') or [{}])[0]).get('License') or {}
    own = told.get('Code', 'Apache-2.0')
    return str(told.get('Pretrained Weights', own) if _started_from(meta) else own)


def result_items(model: ZooFolder) -> Iterator[dict[str, Any]]:
    """``Results`` of a model in OpenMMLab's format, percent with two digits.

    Runs of a few-shot protocol that differ in their supports alone are averaged;
    controls are left out.
    """
    for file, results in model.results().items():
        simulated = 'simulated ' if results['data'].get('simulated') else ''
        space = display_name(model.meta['label_space'])
        beside = f' ({results["protocol"]["name"]})' if file != 'results.json' else ''
        for place, metrics in result_rows(results).items():
            kept = {k: metrics[k] for k in METRICS[results['task']] if k in metrics}
            yield {
                'Task': TASKS[results['task']],
                'Dataset': f'{simulated}{space}, {place}, test{beside}',
                'Metrics': {key: round(value, 2) for key, value in kept.items()},
            }


def result_rows(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Metrics in percent by place: ``all``, ``street``, ``street 5-shot``."""
    found: dict[str, list[dict[str, float]]] = {}
    for run in results['runs']:
        if 'control' in run:
            continue
        place = str(run.get('target') or run.get('domain') or 'all')
        shots = f' {run["shots"]}-shot' if 'shots' in run else ''
        found.setdefault(place + shots, []).append(run['metrics'])
    return {
        place: {k: sum(r[k] for r in rows) / len(rows) for k in rows[0]}
        for place, rows in found.items()
    }


def display_name(space: str) -> str:
    """``MMA-82`` for ``mma82``."""
    return f'{space[:-2].upper()}-{space[-2:]}'


def _entry_of(metafile: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = (e for e in metafile.get('Models') or [] if e['Name'] == name)
    return next(found, {})
