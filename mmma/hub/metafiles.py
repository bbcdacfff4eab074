"""Computed fields of metafiles: of recipes by their configs, of published weights.

The network of a recipe is built on PyTorch's meta device, which has shapes and no
numbers, so that the largest ViT takes a second. The shape of its input is stated in the
metafile; a test holds it against the recipe's test pipeline.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import mmma.models  # noqa: F401  (fills the registry)
from mmma.config import read_config
from mmma.datasets.windows import WindowOptions
from mmma.evaluation import detection, recognition
from mmma.hub.published import ZooFolder, training_resources
from mmma.hub.zoo import display_name, method_of, modality
from mmma.protocols import make_protocol, write_protocol
from mmma.registry import MODELS, shapes_only
from mmma.structures.samples import SegmentSample
from mmma.taxonomy import load_label_space

_BY_HAND = ('Architecture', 'Training Resources')
TASKS = {'rec': 'Action Recognition', 'det': 'Temporal Action Detection'}
PUBLISHED = {
    'rec': tuple(recognition.COLUMNS.values()),
    'det': tuple(k for k in detection.COLUMNS.values() if 'body/mAP@' not in k),
}
"""Task to the metrics that metafiles and the Hub tell."""


def measure(
    root: Path, recipes: Mapping[str, Sequence[str]], metafiles: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Keys of entries by method and recipe, and sentences on what does not build.

    A recipe that needs a package which is not installed keeps its recorded costs.
    """
    facts: dict[str, dict[str, Any]] = {}
    problems = []
    for name, leaves in recipes.items():
        method = method_of(name)
        if method not in metafiles:
            continue
        models = metafiles[method].get('Models') or []
        entry = next((e for e in models if e['Name'] == name), {})
        try:
            cfg = read_config(root / leaves[0])
            write_protocol(cfg, make_protocol(cfg.protocol))
            found = facts.setdefault(method, {})[name] = _config_facts(leaves, cfg)
            shape = str((entry.get('Metadata') or {}).get('Input', ''))
            found['Metadata'].update(model_cost(cfg, shape))
        except ImportError as error:
            print(f'{name}: costs not recomputed: {error}', file=sys.stderr)
        except (KeyError, TypeError, ValueError, OSError) as error:
            # One bad recipe must not hide the others.
            problems.append(f'{leaves[0]}: {type(error).__name__}: {error}')
    return facts, problems


def _config_facts(leaves: Sequence[str], cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of an entry that a recipe's config says; None for one that must not be."""
    pretrained = cfg.get('pretrained') or {}
    part = cfg['model'].get('backbone') or cfg['model']['projection']
    return {
        'Config': leaves[0],
        'Configs': list(leaves),
        'Modality': modality(cfg),
        'Metadata': {
            'Architecture': part['type'],
            'Pretrained': pretrained.get('data'),
            'Pretrained Weights': pretrained.get('url'),
            'Pretrained Weights SHA256': pretrained.get('sha8') or None,
            'Pretrained Weights Size': pretrained.get('size'),
            'Training Data': display_name(load_label_space(cfg['label_space']).name),
        },
    }


def refresh(
    data: Mapping[str, Any], facts: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Contents of a metafile with computed fields set, and new recipes added.

    By the keys of the method's recipes from :func:`measure`, whose architecture is for
    an entry that says no better. People's own words stay, models are sorted by name.
    """
    collection = data['Collections'][0]['Name']
    entries = {entry['Name']: dict(entry) for entry in data.get('Models') or []}
    for name, found in facts.items():
        entry = entries.setdefault(name, {'Name': name})
        old = entry.get('Metadata') or {}
        known = {**old, **found['Metadata']}
        known['Architecture'] = old.get('Architecture', known['Architecture'])
        known = {k: v for k, v in known.items() if v is not None}
        entry.update({'In Collection': collection, **found, 'Metadata': known})
    return {**data, 'Models': [entries[name] for name in sorted(entries)]}


def model_cost(cfg: Any, shape: str) -> dict[str, Any]:
    """``Metadata`` that follows from the network of a recognizer or detector.

    ``FLOPs`` are fused multiply-adds of convolutions and matrix products, attention and
    graph products included: what action recognition papers print as FLOPs. Norms,
    activations, biases and pooling are left out, as there.

    The config has its protocol written; ``shape`` is ``Input`` of the metafile, one
    view of one clip or one window of a detector: ``1xCxTxHxW`` for clips and heatmaps,
    ``SxCxHxW`` for S frames of a 2D network, ``1xMxTxVxC`` for skeletons, ``1xDxP`` for
    features; of two streams, one after the other with a ``+``.

    Raises:
        ValueError: ``shape`` is none, or none that the network takes.
    """
    inputs = [part.split('x') for part in shape.split('+')]
    if not all(side.isdecimal() and int(side) for sides in inputs for side in sides):
        told = f'Metadata.Input is {shape!r}: state the shape that the network takes'
        raise ValueError(f'{told}, as 1x3x16x224x224.')
    inputs = [torch.empty(*map(int, sides), device='meta') for sides in inputs]
    samples, window_sec = None, None
    if cfg.get('task') == 'det':
        window = WindowOptions(**(cfg.test_dataloader.dataset.get('window') or {}))
        whole = dict(positions=window.positions, valid=window.positions)
        samples = [SegmentSample(metainfo=whole)]
        window_sec = round(window.positions / window.rate, 2)
        (inputs,) = inputs
    elif len(inputs) > 1:
        streams = cfg.model.data_preprocessor.preprocessors
        inputs = {key: one[None] for key, one in zip(streams, inputs, strict=True)}
    else:
        inputs = inputs[0][None]
    # Augmentations of a preprocessor draw numbers, which the meta device lacks.
    without = {k: v for k, v in cfg.model.items() if k != 'data_preprocessor'}
    with shapes_only():
        model = MODELS.build(without)
    model.train().eval()  # train() is where MMAction2 freezes stages
    try:
        flops = count_flops(model, inputs, samples)
    except RuntimeError as error:
        raise ValueError(f'its network does not take Input {shape}: {error}') from None
    params = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return {
        'Input': shape,
        'Parameters': params,
        'Trainable Parameters': trainable if trainable < params else None,
        'FLOPs': flops,
        'Window Seconds': window_sec,
    }


def count_flops(model: nn.Module, inputs: Any, samples: Any = None) -> int:
    """Multiply-adds of one forward pass, from input to class scores.

    The model is a recognizer of MMAction2's kind, a ``SegmentDetector`` with the
    ``samples`` of its windows (no NMS is counted), or any module that takes ``inputs``,
    a batch; both lie on the meta device, as elsewhere PyTorch runs attention in kernels
    that it does not count.

    Source: PyTorch's flop_counter, which counts a multiply-add as two.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if samples is not None:
            model(inputs, samples, mode='tensor')
        elif hasattr(model, 'extract_feat'):
            model.extract_feat(inputs, stage='head')
        else:
            model(inputs)
    return counter.get_total_flops() // 2


def metafile_entry(
    model: ZooFolder,
    config: str | None,
    metafile: Mapping[str, Any],
    noted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Entry of a published model.

    Without a ``config`` beside the zoo that of its folder is named. What people wrote
    in an entry of the same weights is kept. ``noted`` is ``Metadata`` that weights and
    log do not tell, ``Architecture``, or not as well, ``Training Resources``.
    """
    own = model.name, model.sha256
    models = metafile.get('Models') or ()
    told = (e for e in models if (e['Name'], e.get('Weights SHA256')) == own)
    old: Mapping[str, Any] = next(told, {})
    log = model.path / 'train.log'
    text = log.read_text(encoding='utf-8') if log.is_file() else ''
    kept = (old.get('Metadata') or {}).items()
    meta, data = model.meta, model.meta['data']
    source = f' ({data["source"]})' if data.get('source') else ''
    metadata = {
        'Training Resources': training_resources(text),
        **{key: value for key, value in kept if key in _BY_HAND},
        **(noted or {}),
        'Parameters': meta.get('parameters'),
        'Pretrained': _started_from(meta),
        'Training Data': f'{data.get("name")}{source}',
        'Simulated': bool(data.get('simulated')),
        'Protocol': meta['protocol']['name'],
        'Epochs': meta.get('epoch'),
        'Precision': meta.get('precision'),
    }
    return {
        'Name': model.name,
        'Config': config or f'{model.relative.rpartition("/")[0]}/{model.config.name}',
        'Modality': modality(model.cfg),
        'Metadata': {k: v for k, v in metadata.items() if v is not None},
        **({'Paper': old['Paper']} if 'Paper' in old else {}),
        'License': old.get('License') or license_of(metafile, meta),
        **({'Results': results} if (results := [*result_items(model)]) else {}),
        'Weights': model.relative,
        'Weights SHA256': model.sha256,
        'Weights Size': model.weights.stat().st_size,
    }


def license_of(metafile: Mapping[str, Any], meta: Mapping[str, Any]) -> str:
    """Licence of the weights: that of those they started from, or of the code."""
    told = ((metafile.get('Collections') or [{}])[0]).get('License') or {}
    own = told.get('Code', 'Apache-2.0')
    return str(told.get('Pretrained Weights', own) if _started_from(meta) else own)


def _started_from(meta: Mapping[str, Any]) -> str | None:
    data = meta.get('pretrain_data') or 'none'
    return None if data == 'none' else str(data)


def result_items(model: ZooFolder) -> Iterator[dict[str, Any]]:
    """``Results`` of a model in OpenMMLab's format, percent with two digits."""
    space = display_name(model.meta['label_space'])
    for file, results, place, metrics in measured_places(model):
        simulated = 'simulated ' if results['data'].get('simulated') else ''
        beside = f' ({results["protocol"]["name"]})' if file != 'results.json' else ''
        yield {
            'Task': TASKS[results['task']],
            'Dataset': f'{simulated}{space}, {place}, test{beside}',
            'Metrics': metrics,
        }


def measured_places(
    model: ZooFolder,
) -> Iterator[tuple[str, dict[str, Any], str, dict[str, float]]]:
    """Published metrics of a model, in percent with two digits.

    Each with its results file, its contents and the place (``all``, ``street``,
    ``street 5-shot``). Runs of a few-shot protocol that differ in their supports alone
    are averaged; controls are left out.
    """
    for file, results in model.results().items():
        found: dict[str, list[dict[str, float]]] = {}
        for run in results['runs']:
            if 'control' not in run:
                place = str(run.get('target') or run.get('domain') or 'all')
                shots = f' {run["shots"]}-shot' if 'shots' in run else ''
                found.setdefault(place + shots, []).append(run['metrics'])
        for place, rows in found.items():
            keys = [key for key in PUBLISHED[results['task']] if key in rows[0]]
            means = {k: round(sum(r[k] for r in rows) / len(rows), 2) for k in keys}
            yield file, results, place, means
