"""A published model as a folder for the Hugging Face Hub.

``model.safetensors`` is the published file, byte for byte, so that its hash and its
results stay its own; ``README.md`` is the model card, with results in the Hub's
evaluation format.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mmma.checkpoints import file_sha256
from mmma.hub.entries import METRICS, TASKS, display_name, result_rows
from mmma.hub.metafiles import modality
from mmma.hub.zoo_folder import ZooFolder

WEIGHTS = 'model.safetensors'
_TASK_TYPES = {'rec': 'video-classification', 'det': 'temporal-action-detection'}
_METRIC_NAMES = {
    'top1': ('accuracy', 'Top-1'),
    'top5': ('top5_accuracy', 'Top-5'),
    'mca': ('mean_class_accuracy', 'mean class accuracy'),
    'macro_f1': ('f1', 'macro F1'),
}
_LEVELS = {'action': 'action', 'body': 'body group'}
_SIMULATED = """\
> **Trained and measured on simulated data.** These weights exercise the toolbox. They
> say nothing about real people, and mmma refuses to run them on real video unless told
> `--allow-simulated`.
"""
_PROTOCOLS = {
    'indomain': 'Trained and tested on the same domains, split by subject.',
    'zeroshot': 'Trained on `lab` alone. Zero-shot means that no clip of the target '
    'domain was trained on; its classes are not unseen.',
    'fewshot': 'Adapted to the target domain with a few clips per class.',
}


def write_hub_folder(
    model: ZooFolder, out: Path, config: str, license_id: str, force: bool = False
) -> list[Path]:
    """Write weights, configs and model card.

    Args:
        model: The published model.
        out: Folder to write into; made where it is missing.
        config: Config file that it is tested with.
        license_id: Licence of the weights, as the metafiles call it.
        force: Replace other weights that lie there.

    Returns:
        The files.

    Raises:
        ValueError: Other weights lie there.
    """
    weights = out / WEIGHTS
    if weights.is_file() and not force and file_sha256(weights) != model.sha256:
        raise ValueError(f'{weights} is of another model: --force replaces it.')
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model.weights, weights)
    shutil.copyfile(model.path / 'config.py', out / 'config.py')
    told = json.dumps(hub_config(model), indent=2, ensure_ascii=False)
    (out / 'config.json').write_text(told + '\n', encoding='utf-8')
    card = model_card(model, config, license_id)
    (out / 'README.md').write_text(card, encoding='utf-8')
    return [out / name for name in (WEIGHTS, 'config.json', 'config.py', 'README.md')]


def hub_config(model: ZooFolder) -> dict[str, Any]:
    """Contents of ``config.json``: architecture, labels in order, resolved config."""
    meta, cfg = model.meta, model.cfg
    labels = meta['classes']
    return {
        'architectures': [cfg['model']['type']],
        'model_type': 'mmma',
        'task': _TASK_TYPES[cfg['task']],
        'label_space': meta['label_space'],
        'num_labels': len(labels),
        'id2label': {str(i): name for i, name in enumerate(labels)},
        'label2id': {name: i for i, name in enumerate(labels)},
        'bodies': meta.get('bodies'),
        'body_of': meta.get('body_of'),
        'torch_dtype': meta.get('precision'),
        'mmma_version': meta.get('mmma_version'),
        'mmma_config': cfg,
    }


def model_card(model: ZooFolder, config: str, license_id: str) -> str:
    """``README.md``: front matter for the Hub, text for people.

    Args:
        model: The published model.
        config: Config file that it is tested with.
        license_id: Licence of the weights, as the metafiles call it.
    """
    front = yaml.safe_dump(
        _front_matter(model, license_id), sort_keys=False, allow_unicode=True
    )
    return f'---\n{front}---\n\n' + '\n'.join(_text(model, config))


def _front_matter(model: ZooFolder, license_id: str) -> dict[str, Any]:
    meta, task = model.meta, model.cfg['task']
    simulated = bool(meta['data'].get('simulated'))
    tags = ['mmma', 'micro-action', _TASK_TYPES[task], meta['label_space']]
    tags += ['skeleton'] if modality(model.cfg) == 'Pose' else ['video']
    tags += ['simulated-data'] if simulated else []
    front: dict[str, Any] = {
        'license': license_id.lower(),
        'library_name': 'mmma',
        **({'pipeline_tag': 'video-classification'} if task == 'rec' else {}),
        'tags': tags,
    }
    results = list(_evaluations(model))
    if results:
        front['model-index'] = [{'name': model.name, 'results': results}]
    return front


def _evaluations(model: ZooFolder) -> Iterator[dict[str, Any]]:
    """Results in the Hub's evaluation format, one item per place."""
    for results in model.results().values():
        data, task = results['data'], results['task']
        protocol = results['protocol']['name']
        simulated = bool(data.get('simulated'))
        mark = 'simulated ' if simulated else ''
        for place, metrics in result_rows(results).items():
            kept = [key for key in METRICS[task] if key in metrics]
            yield {
                'task': {
                    'type': _TASK_TYPES[task],
                    'name': TASKS[task] + (' (simulated data)' if simulated else ''),
                },
                'dataset': {
                    'type': data['name'],
                    'name': f'{mark}{display_name(model.meta["label_space"])}, {place}',
                    'config': f'{protocol}-{place.replace(" ", "-")}',
                    'split': 'test',
                    'revision': str(data['fingerprint'])[:8],
                },
                'metrics': [_evaluation(key, metrics[key]) for key in kept],
            }


def _evaluation(key: str, percent: float) -> dict[str, Any]:
    kind, name = metric_name(key)
    return {'type': kind, 'value': round(percent, 2), 'name': f'{name} (%)'}


def metric_name(key: str) -> tuple[str, str]:
    """Type and name of a metric: ``accuracy``, ``action Top-1``."""
    level, _, what = key.partition('/')
    if what.startswith('mAP'):
        threshold = what.partition('@')[2]
        at = f' at tIoU {threshold}' if threshold else ', mean of tIoU 0.1 to 0.9'
        return 'mean_average_precision', f'{_LEVELS[level]} mAP{at}'
    if what in _METRIC_NAMES:
        kind, name = _METRIC_NAMES[what]
        return kind, f'{_LEVELS[level]} {name}'
    means = {'F1_mean': ('f1', 'mean of four F1'), 'AVG': ('mean_average_precision',)}
    kind, *name = means.get(key, (key.lower(),))
    return kind, name[0] if name else key


def _text(model: ZooFolder, config: str) -> Iterator[str]:
    meta, data = model.meta, model.meta['data']
    protocol = meta['protocol']['name']
    yield f'# {model.name}\n'
    if data.get('simulated'):
        yield _SIMULATED
    size = f'{meta["parameters"]:,} parameters, {meta["precision"]}'
    yield (
        f'{TASKS[model.cfg["task"]]} of micro-actions: {len(meta["classes"])} classes '
        f'of {display_name(meta["label_space"])}, in the order of `id2label`. '
        f'`{model.cfg["model"]["type"]}`, {size}, from the config `{config}` of mmma.\n'
    )
    yield '## Training\n'
    yield f'- Data: {data.get("name")}, fingerprint `{str(data["fingerprint"])[:8]}`'
    yield f'- Protocol: {protocol}. {_PROTOCOLS[protocol]}'
    yield f'- Domains seen: {", ".join(meta.get("seen_domains") or ["unknown"])}'
    yield f'- Started from: {meta.get("pretrain_data") or "unknown"}'
    yield f'- Epochs: {meta.get("epoch", "unknown")}\n'
    yield '## Use\n'
    yield '```bash'
    yield f'python tools/test.py {config} {WEIGHTS} --data-root DATA'
    yield '```\n'
    yield (
        'Run it in a checkout of mmma, with the path of the file. The weights are '
        'safetensors: nothing in them is run.\n'
    )
    yield f'SHA-256 of `{WEIGHTS}`: `{model.sha256}`\n'
    yield from _tables(model)


def _tables(model: ZooFolder) -> Iterator[str]:
    """One table of results per results file."""
    for results in model.results().values():
        rows = result_rows(results)
        listed = METRICS[results['task']]
        kept = [key for key in listed if any(key in row for row in rows.values())]
        marked = ', simulated data' if results['data'].get('simulated') else ''
        yield f'## Results: {results["protocol"]["name"]}, test subset{marked}\n'
        yield '| tested on | ' + ' | '.join(metric_name(k)[1] for k in kept) + ' |'
        yield '|:--|' + '--:|' * len(kept)
        for place, metrics in rows.items():
            yield _row(place, [metrics.get(key) for key in kept])
        yield ''


def _row(place: str, values: list[float | None]) -> str:
    cells = ['–' if value is None else f'{value:.2f}' for value in values]
    return f'| {place} | ' + ' | '.join(cells) + ' |'
