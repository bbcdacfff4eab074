"""Publishing: a training run into ``zoo/NAME`` and the metafiles, a folder for the Hub.

The order cannot be got wrong: weights are published first, then the published file is
tested, and only results of that very file are taken beside it. On the Hub
``model.safetensors`` is that file, byte for byte; ``README.md`` is the model card, with
results in the Hub's evaluation format.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

import mmma.models  # noqa: F401  (fills the registry)
from mmma.checkpoints import file_sha256, meta_of, to_plain
from mmma.checkpoints.files import SUFFIX, frozen_names, write_safetensors
from mmma.config import PUBLISHED as CONFIGS
from mmma.config import config_folders, json_config
from mmma.evaluation.calibration import described, read_calibration
from mmma.evaluation.recognition import METRICS
from mmma.evaluation.reports import read_results, write_results
from mmma.files import flush, link_or_copy, only_writer, replace_together, write_file
from mmma.foreign import first_line, markdown
from mmma.hub import metafiles
from mmma.hub.published import (
    DATA_ROOT,
    Scrubber,
    TrainingRun,
    ZooFolder,
    check_results,
    default_name,
    find_leaf,
    lacking,
    measured_otherwise,
    portable,
    resolved,
    results_name,
)
from mmma.hub.zoo import (
    differences,
    display_name,
    is_checkpoint,
    metafile_path,
    metafile_text,
    method_of,
    modality,
    read_yaml,
    with_entry,
)
from mmma.registry import MODELS, as_data, shapes_only
from mmma.taxonomy import check_choice, own_table, space_of_meta

PRECISIONS = ('float16', 'float32')
SIMULATED = '-simulated'
_NAME = re.compile(r'[A-Za-z0-9][\w.-]*')
_WORDS = own_table('pages')['card']


def publish(
    run: TrainingRun,
    zoo: Path,
    name: str | None = None,
    precision: str = 'float16',
    force: bool = False,
) -> ZooFolder:
    """Write the weights, config and log of a training run into the zoo.

    The same checkpoint gives the same bytes. Results of other weights are removed. By
    default the name is made of the config's. ``precision`` is of weights with a
    fractional part; ``force`` replaces a model of that name with other weights.

    Raises:
        ValueError: The run cannot be published, or the name is taken.
    """
    check_choice('precision', precision, PRECISIONS)
    protocol = run.cfg['protocol']
    leaf = find_leaf(run.meta.get('config_name'), protocol)
    name = name or default_name(run, leaf)
    if not _NAME.fullmatch(name):
        raise ValueError(f'--name {name!r}: use letters, digits, "-", "_" and ".".')
    if run.meta['data'].get('simulated') and not name.endswith(SIMULATED):
        told = f'--name {name}: it was trained on simulated data'
        raise ValueError(f'{told}, so its name must end in {SIMULATED}.')
    space = run.cfg['label_space']
    reference = resolved(leaf, protocol, space) if leaf else None
    if odd := list(measured_otherwise(run.cfg, reference)) if reference else []:
        raise ValueError(
            f'{run.checkpoint} was trained with other options than {leaf} has '
            f'({", ".join(odd[:4])}), so nobody could test it with that: give it a '
            'config of its own.'
        )
    weights = to_precision(run.weights, precision)
    meta = {
        **publishable_meta(run.content),
        'parameters': _check_weights(run.cfg, weights, run.meta, str(run.checkpoint)),
        'precision': precision,
    }
    folder = zoo.resolve() / name
    known = {str(f.parent): '' for f in config_folders()}
    known[str(run.cfg.get('data_root', DATA_ROOT))] = DATA_ROOT
    for place in (run.cfg.get('work_dir') or run.work_dir, run.work_dir):
        known[str(place)] = 'WORK_DIR'
    scrubber = Scrubber(known)
    text = json.dumps(json_config(portable(run.cfg, reference, scrubber)), indent=2)
    with only_writer(folder):
        model, stale = _place(folder, weights, meta, force)
        write_file(folder / CONFIGS[0], f'{text}\n')
        (folder / CONFIGS[1]).unlink(missing_ok=True)  # of an older version
        write_file(folder / 'train.log', scrubber.log(run.log))
        for path in stale:  # weights last: until then a folder with both is refused
            path.unlink()
    return model


def publishable_meta(checkpoint: Any) -> dict[str, Any]:
    """Facts of a checkpoint that others need: no time, host or path.

    Beside what the checkpoint hook wrote, ``metrics`` holds the score by which it was
    chosen, on the validation subset and in percent.
    """
    meta = meta_of(checkpoint)
    told = {key: meta[key] for key in _WORDS['meta'] if key in meta}
    hub = checkpoint.get('message_hub')
    info = hub.get('runtime_info') if isinstance(hub, Mapping) else None
    chosen = meta.get('selected_on') or {}
    if {'subset', 'metric'} <= chosen.keys() and 'best_score' in (info or {}):
        told['metrics'] = {f'{chosen["subset"]}/{chosen["metric"]}': info['best_score']}
    try:
        return Scrubber().value(to_plain(told))
    except RecursionError:
        raise ValueError('the meta of the checkpoint is too deep') from None


def to_precision(weights: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """Weights with their fractions in one type.

    Counters and other integers keep theirs; so does, in half precision, a tensor with
    a number that it cannot hold.
    """
    found = {}
    for name, value in weights.items():
        if value.is_floating_point():
            single = value.float()
            value = single.to(getattr(torch, precision))
            if not value.isfinite().equal(single.isfinite()):
                value = single
        found[name] = value.cpu()
    return found


def add_results(model: ZooFolder, files: Iterable[Path]) -> list[Path]:
    """Put ``results.json`` of ``tools/test.py`` beside their weights; files as written.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Results of other weights, measured in another way, or two files of
            one protocol. Nothing is written then.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        results = read_results(Path(file))
        as_data(results['config'], str(file))
        leaf = find_leaf(model.meta.get('config_name'), results['protocol'])
        told = results['protocol'], model.cfg['label_space']
        reference = resolved(leaf or model.cfg, *told)
        check_results(results, model, reference)
        name = results_name(results, model.cfg['protocol'])
        if name in found:
            raise ValueError(f'{file}: a second file of the protocol of {name}.')
        scrubber = Scrubber()
        found[name] = {
            **scrubber.value({k: v for k, v in results.items() if k != 'config'}),
            'checkpoint': {**results['checkpoint'], 'path': model.relative},
            'config': portable(results['config'], reference, scrubber),
        }
    for name, results in found.items():
        write_results(results, model.path / name)
    return [model.path / name for name in found]


def update_metafile(model: ZooFolder, resources: str | None = None) -> Path | None:
    """Write the entry of a published model into the metafile of its method.

    Metafiles lie beside the zoo: of a zoo outside the checkout, in a ``configs`` folder
    of its own. ``resources`` are devices and time of its training; None takes them from
    the log. Returns the metafile; None where mmma has no such method.

    Raises:
        ValueError: A recipe has that name.
    """
    path, data, _ = _metafile_of(model)
    if data is None:
        return None
    with only_writer(path.parent):
        _, data, entry = _metafile_of(model, resources)
        write_file(path, metafile_text(with_entry(data, entry)))
    return path


def metafile_differences(model: ZooFolder) -> list[str]:
    """Sentences on what the metafile says of a model and its folder does not."""
    path, data, entry = _metafile_of(model)
    if data is None:
        return []
    return [f'{path}: {line}' for line in differences(data, with_entry(data, entry))]


def _metafile_of(
    model: ZooFolder, resources: str | None = None
) -> tuple[Path, dict | None, dict]:
    """Metafile of a model's method beside the zoo, its contents, the model's entry.

    Without a file the contents are mmma's own without models; None where mmma has no
    such method.
    """
    for sentence in lacking(model):
        raise ValueError(sentence)
    leaf = leaf_of(model)
    method = method_of(Path(leaf or model.name).stem)
    path = metafile_path(model.path.parents[1], method)
    places = [metafile_path(folder.parent, method) for folder in config_folders()]
    known = {place: read_yaml(place) for place in (path, *places) if place.is_file()}
    own = next((known[place] for place in places if place in known), {})
    data = known.get(path, {**own, 'Models': []} if own else None)
    recipes = (e for e in own.get('Models', []) if not is_checkpoint(e))
    recipe = next((e for e in recipes if leaf in (e.get('Configs') or ())), {})
    noted = {'Architecture': (recipe.get('Metadata') or {}).get('Architecture')}
    noted |= {'Training Resources': resources} if resources else {}
    return path, data, metafiles.metafile_entry(model, leaf, data or {}, noted)


def leaf_of(model: ZooFolder) -> str | None:
    """The config file of mmma that a published model is tested with."""
    return find_leaf(model.meta.get('config_name'), model.cfg['protocol'])


def _place(
    folder: Path, weights: Mapping[str, Any], meta: Mapping[str, Any], force: bool
) -> tuple[ZooFolder, list[Path]]:
    """Write the weights under the name that their hash gives; and what is of others."""
    others = sorted(folder.glob(f'{folder.name}-*{SUFFIX}'))
    part = folder / f'.weights{SUFFIX}.part'
    try:
        write_safetensors(part, weights, meta)
        sha256 = file_sha256(part)
        model = ZooFolder(folder, folder / f'{folder.name}-{sha256[:8]}{SUFFIX}')
        others = [path for path in others if path != model.weights]
        if others and not force:
            raise ValueError(
                f'{folder.name} is published with other weights '
                f'({others[0].name}): choose another --name, or replace them with '
                '--force.'
            )
        flush(part)
        part.replace(model.weights)
    finally:
        part.unlink(missing_ok=True)
    results = folder.glob('results*.json')
    hashes = {path: read_results(path)['checkpoint'].get('sha256') for path in results}
    return model, [*(p for p, own in hashes.items() if own != sha256), *others]


def _check_weights(
    cfg: Mapping[str, Any],
    weights: Mapping[str, Any],
    meta: Mapping[str, Any],
    source: str,
) -> int:
    """Number of the model's parameters; its weights must be all there."""
    without = as_data(cfg['model'], source)
    without.pop('data_preprocessor', None)
    try:
        with shapes_only():
            model = MODELS.build(without)
    except Exception as error:  # whatever its values make of the constructors
        why = first_line(error)
        raise ValueError(f'{source}: its config builds no model: {why}') from None
    left_out = set(frozen_names(model)) if meta.get('frozen') else set()
    own = {k: v.shape for k, v in model.state_dict().items() if k not in left_out}
    found = {name: value.shape for name, value in weights.items()}
    if odd := sorted({k for k in {*own, *found} if own.get(k) != found.get(k)}):
        raise ValueError(
            f'the checkpoint does not fit the model of its own config: '
            f'{", ".join(odd[:4])}. Train it again with this version.'
        )
    return sum(parameter.numel() for parameter in model.parameters())


WEIGHTS = 'model.safetensors'
_TASK_TYPES = {'rec': 'video-classification', 'det': 'temporal-action-detection'}


def write_hub_folder(model: ZooFolder, out: Path, force: bool = False) -> list[Path]:
    """Write weights, configs and model card of a published model into a folder.

    Raises:
        ValueError: Other weights lie there, and they are not to be replaced.
    """
    weights, leaf = out / WEIGHTS, leaf_of(model)
    if weights.is_file() and not force and file_sha256(weights) != model.sha256:
        raise ValueError(f'{weights} is of another model: --force replaces it.')
    told = json.dumps(_hub_config(model), indent=2, ensure_ascii=False)
    terms = metafiles.license_of(_metafile_of(model)[1] or {}, model.meta)
    card = model_card(model, leaf or CONFIGS[0], terms)
    names, drafts = (WEIGHTS, CONFIGS[0], 'README.md'), out / '.hub.part'
    with only_writer(out):
        link_or_copy(model.weights, drafts / WEIGHTS, 'copy')
        write_file(drafts / CONFIGS[0], told + '\n')
        write_file(drafts / 'README.md', card)
        replace_together(drafts, out, *names, CONFIGS[1])  # that of an older version
        shutil.rmtree(drafts)
    return [out / name for name in names]


def _hub_config(model: ZooFolder) -> dict[str, Any]:
    """Contents of ``config.json``: architecture, labels in order, resolved config."""
    meta, cfg = model.meta, model.cfg
    labels = meta['classes']
    return {
        'architectures': [cfg['model']['type']],
        'model_type': 'mmma',
        'task': _TASK_TYPES[cfg['task']],
        'label_space': space_of_meta(meta).plain(),
        'num_labels': len(labels),
        'id2label': {str(i): name for i, name in enumerate(labels)},
        'label2id': {name: i for i, name in enumerate(labels)},
        **{key: meta.get(key) for key in ('bodies', 'body_of', 'calibration')},
        'torch_dtype': meta.get('precision'),
        'mmma_version': meta.get('mmma_version'),
        'mmma_config': json_config(cfg),
    }


def model_card(model: ZooFolder, config: str, license_id: str) -> str:
    """``README.md``: front matter for the Hub, text for people.

    By the config file that the model is tested with, and the metafiles' licence.
    """
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
    if results := list(_evaluations(model)):
        front['model-index'] = [{'name': model.name, 'results': results}]
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f'---\n{head}---\n\n' + '\n'.join(_text(model, config))


def _evaluations(model: ZooFolder) -> Iterator[dict[str, Any]]:
    """Results in the Hub's evaluation format, one item per place."""
    space = display_name(model.meta['label_space'])
    for _, results, place, metrics in metafiles.measured_places(model):
        data, task = results['data'], results['task']
        simulated = bool(data.get('simulated'))
        named = {key: metric_name(key) for key in metrics}
        yield {
            'task': {
                'type': _TASK_TYPES[task],
                'name': metafiles.TASKS[task] + ' (simulated data)' * simulated,
            },
            'dataset': {
                'type': data['name'],
                'name': 'simulated ' * simulated + f'{space}, {place}',
                'config': f'{results["protocol"]["name"]}-{place.replace(" ", "-")}',
                'split': 'test',
                'revision': str(data['fingerprint'])[:8],
            },
            'metrics': [
                {'type': kind, 'value': metrics[key], 'name': f'{name} (%)'}
                for key, (kind, name) in named.items()
            ],
        }


def metric_name(key: str) -> tuple[str, str]:
    """Type and name of a metric: ``accuracy``, ``action Top-1``."""
    level, _, what = key.partition('/')
    level = 'body group' if level == 'body' else level
    if what.startswith('mAP'):
        threshold = what.partition('@')[2]
        at = f' at tIoU {threshold}' if threshold else ', mean of tIoU 0.1 to 0.9'
        return 'mean_average_precision', f'{level} mAP{at}'
    if what in METRICS and METRICS[what].hub:
        kind, name = METRICS[what].hub
        return kind, f'{level} {name}'
    own = {'F1_mean': ('f1', 'mean of four F1'), 'AVG': ('mean_average_precision', key)}
    return own.get(key, (key.lower(), key))


def _text(model: ZooFolder, config: str) -> Iterator[str]:
    meta, data = model.meta, model.meta['data']
    lost = markdown('; '.join(data.get('incomplete') or ()))
    how = described(read_calibration(meta, model.cfg['task']))
    told = {
        'model': model,
        'config': config,
        'file': WEIGHTS,
        'task': metafiles.TASKS[model.cfg['task']],
        'classes': len(meta['classes']),
        'space': display_name(meta['label_space']),
        'simulated': _WORDS['simulated'] if data.get('simulated') else '',
        'incomplete': _WORDS['incomplete'].format(lost) if lost else '',
        'about': _WORDS['protocols'][meta['protocol']['name']],
        'data': markdown(data.get('name')),
        'domains': markdown(', '.join(meta.get('seen_domains') or ['unknown'])),
        'start': markdown(meta.get('pretrain_data') or 'unknown'),
        'epoch': meta.get('epoch', 'unknown'),
        'calibration': markdown(how[0].upper() + how[1:]),
    }
    yield from (line.format(**told) for line in _WORDS['text'])
    tables: dict[str, list[Any]] = {}
    for file, *row in metafiles.measured_places(model):
        tables.setdefault(file, []).append(row)
    for rows in tables.values():
        results = rows[0][0]
        listed = metafiles.PUBLISHED[results['task']]
        kept = [key for key in listed if any(key in metrics for *_, metrics in rows)]
        marked = ', simulated data' if results['data'].get('simulated') else ''
        yield f'## Results: {results["protocol"]["name"]}, test subset{marked}\n'
        yield '| tested on | ' + ' | '.join(metric_name(k)[1] for k in kept) + ' |'
        yield '|:--|' + '--:|' * len(kept)
        for _, place, metrics in rows:
            cells = [f'{metrics[k]:.2f}' if k in metrics else '–' for k in kept]
            yield f'| {markdown(place)} | ' + ' | '.join(cells) + ' |'
        yield ''
