"""A small checkout of the model zoo: one recipe of each task, and weights of ours."""

import functools
import json
import shutil
import tempfile
from pathlib import Path

import torch
import yaml
from result_files import make_rec_root, write_model

from mmma.checkpoints import file_sha256
from mmma.checkpoints.files import write_safetensors
from mmma.evaluation.detection import LEVELS, THRESHOLDS
from mmma.hub.metafiles import metafile_entry
from mmma.hub.published import ZooFolder
from mmma.hub.zoo import metafile_path, metafile_text, read_metafiles, with_entry
from mmma.taxonomy import load_label_space

REPO = Path(__file__).resolve().parents[1]
LEAVES = {
    'rec': 'configs/recog/skeletontcn-tiny_mma82_indomain.py',
    'det': 'configs/det/skeletondet-tiny_mma82.py',
}
METHODS = {'rec': 'skeletontcn', 'det': 'skeletondet'}


def make_checkout(folder):
    """Configs and metafiles of the two recipes, without weights of ours."""
    shutil.copytree(REPO / 'configs/_base_', folder / 'configs/_base_')
    files = [
        *REPO.glob('configs/recog/skeletontcn-tiny_mma82_*.py'),
        REPO / 'configs/emotion/skeletontcn-tiny_mma82.py',
        *(metafile_path(REPO, method) for method in METHODS.values()),
        REPO / LEAVES['det'],
    ]
    for path in files:
        target = folder / path.relative_to(REPO)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    for method, data in read_metafiles(folder).items():
        here = [e for e in data['Models'] if (folder / e['Config']).exists()]
        recipes = [e for e in here if 'Weights' not in e]
        save_metafile(folder, method, {**data, 'Models': recipes})
    return folder


def save_metafile(folder, method, data):
    """Write a metafile in its own format."""
    metafile_path(folder, method).write_text(metafile_text(data), 'utf-8')


def add_weights(folder, task='rec', simulated=True):
    """Publish made-up weights with made-up results; returns their name."""
    leaf = LEAVES[task]
    name = Path(leaf).stem + ('-simulated' if simulated else '_real')
    place = folder / 'zoo' / name
    place.mkdir(parents=True)
    kind = {'name': 'tiny_set', 'simulated': simulated}
    meta = {
        'label_space': 'mma82',
        'classes': list(load_label_space('mma82').actions),
        'data': kind,
        'protocol': {'name': 'indomain'},
        'parameters': 789202,
        'precision': 'float16',
    }
    draft = place / 'draft.safetensors'
    write_safetensors(draft, {'weight': torch.zeros(2, dtype=torch.float16)}, meta)
    weights = place / f'{name}-{file_sha256(draft)[:8]}.safetensors'
    draft.rename(weights)
    loader = {'dataset': {'modality': 'Pose'}}
    config = {'label_space': 'mma82', 'model': {}, 'protocol': {}, 'task': task}
    config['test_dataloader'] = loader
    (place / 'config.json').write_text(json.dumps(config))
    (place / 'train.log').write_text('trained\n')
    results = rec_results(simulated) if task == 'rec' else det_results(kind)
    sha256 = file_sha256(weights)
    results['checkpoint'] = {'sha256': sha256, 'simulated': simulated}
    (place / 'results.json').write_text(json.dumps(results), 'utf-8')
    data = read_metafiles(folder)[METHODS[task]]
    noted = {'Training Resources': 'one CPU'}
    entry = metafile_entry(ZooFolder(place, weights), leaf, data, noted)
    save_metafile(folder, METHODS[task], with_entry(data, entry))
    return name


def rec_results(simulated):
    """Results over four domains, 12 clips each."""
    return json.loads(_rec_text(simulated))


@functools.cache
def _rec_text(simulated):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, 'root')
        root.mkdir()
        data = make_rec_root(root, clips=12, simulated=simulated)
        path = write_model(Path(folder, 'results'), data, 'made-up', 0.6)
        return path.read_text('utf-8')


def det_results(kind):
    """Results over one domain with two classes per level."""
    metrics, per_class = {}, {}
    for level, (first, second) in zip(
        LEVELS, ((10.0, 20.0), (40.0, 60.0)), strict=True
    ):
        rates = {t: [first * (1 - t), second * (1 - t)] for t in THRESHOLDS}
        metrics |= {f'{level}/mAP@{t:.2f}': sum(r) / 2 for t, r in rates.items()}
        metrics[f'{level}/mAP'] = (first + second) / 4
        shown = {f'AP@{t:.2f}': rates[t] for t in (0.2, 0.5, 0.7)}
        per_class[level] = {'name': ['a', 'b'], **shown, 'AP': [first / 2, second / 2]}
    metrics['AVG'] = (metrics['action/mAP'] + metrics['body/mAP']) / 2
    run = {
        'domain': 'all',
        'subset': 'test',
        'counts': {
            'videos': 3,
            'instances': 1234,
            'classes': {'action': 2, 'body': 2},
        },
        'metrics': metrics,
        'per_class': per_class,
        'intervals': {'bounds': {key: [v - 1, v + 1] for key, v in metrics.items()}},
    }
    return {
        'schema': 1,
        'task': 'det',
        'name': 'skeletondet-tiny_mma82',
        'protocol': {'name': 'indomain', 'domain': 'all', 'seed': 0},
        'classes': list(load_label_space('mma82').actions),
        'target_seen': [],
        'data': {**kind, 'fingerprint': '12345678' * 8, 'packed': None},
        'options': {
            'subset': 'test',
            'preset': 'mma82',
            'thresholds': list(THRESHOLDS),
            'body_detections': 'head',
        },
        'adaptation': None,
        'broken': [],
        'config': {'label_space': 'mma82'},
        'runs': [run],
    }


def edit_results(folder, name, change):
    """Change a published results file in place."""
    path = folder / 'zoo' / name / 'results.json'
    results = json.loads(path.read_text('utf-8'))
    change(results)
    path.write_text(json.dumps(results), 'utf-8')


def edit_metafile(folder, method, change):
    """Change a metafile as a person would, in another layout."""
    path = metafile_path(folder, method)
    data = yaml.safe_load(path.read_text('utf-8'))
    change({entry['Name']: entry for entry in data['Models']})
    path.write_text(yaml.safe_dump(data, sort_keys=False), 'utf-8')
