"""A small data root, and results and scores of made-up models on it."""

import hashlib

import numpy as np

from mmma.data.clips import Clip, write_rec
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.evaluation.emotion import emotion_row
from mmma.evaluation.reports import write_results
from mmma.evaluation.rows import SCHEMA, EvaluationOptions, domain_rows, recognition_row
from mmma.evaluation.scores import ScoreTable, write_scores
from mmma.taxonomy import DOMAINS

ACTIONS = (0, 5, 9, 30, 60, 81)


def make_rec_root(folder, clips=24, simulated=True, domains=DOMAINS):
    """A root of ``clips`` val and as many test clips per domain, 6 subjects each."""
    write_info(folder, DatasetInfo('tiny_set', 'mma82', simulated))
    root = DataRoot(folder)
    space = root.label_space()
    rows = []
    for domain in domains:
        for subset in ('val', 'test'):
            for i in range(clips):
                action = ACTIONS[i % len(ACTIONS)]
                name, body = f'{domain}_{subset}_{i:03d}', space.body_of[action]
                person = f's{i % 6}'
                rows.append(Clip(name, '', subset, domain, person, action, body))
    write_rec(folder / 'rec.csv', rows, space)
    return DataRoot(folder)


def write_model(
    folder, root, name, right, *, seed=0, subset='test', domain='all', **changes
):
    """Write results.json and scores.npz of an in-domain model.

    ``right`` is the chance that it gives the true action the highest score.
    """
    clips = [
        c for c in root.read_rec() if c.subset == subset and domain in ('all', c.domain)
    ]
    table = scores_of(root, clips, right, f'{name} {seed} {domain} {subset}')
    space, options = root.label_space(), EvaluationOptions(resamples=20)
    rows = domain_rows(table, clips, space, options)
    runs = [{**row, 'seed': seed, 'subset': subset} for row in rows]
    protocol = {'name': 'indomain', 'domain': domain, 'seed': seed}
    content = results_of(root, name, protocol, runs, subset)
    folder.mkdir(parents=True)
    write_scores(folder / 'scores.npz', table, space)
    write_results(merge(content, changes), folder / 'results.json')
    return folder / 'results.json'


def write_fewshot(
    folder, root, name, right, *, seed=0, runs=3, shots=(5,), supports=False, **changes
):
    """Write results and scores of a model under the few-shot protocol, to street.

    ``supports`` adds the control of the prior that the supports of each draw show.
    """
    clips = [c for c in root.read_rec() if (c.subset, c.domain) == ('test', 'street')]
    space, options = root.label_space(), EvaluationOptions(resamples=20)
    folder.mkdir(parents=True)
    labels = [{'shots': 0}, {'shots': 0, 'control': 'classes'}]
    labels += [{'shots': k, 'run': r} for k in shots for r in range(runs)]
    labels += [{**label, 'control': 'prior'} for label in labels[2:] if supports]
    rows = []
    for label in labels:
        table = scores_of(root, clips, right, f'{name} {seed} {label}')
        parts = [f'{label["shots"]}shot', label.get('control', '')]
        parts += [f'run{label["run"]}' if 'run' in label else '']
        tag = '_'.join(filter(None, parts))
        write_scores(folder / f'scores_street_{tag}.npz', table, space)
        row = recognition_row(table, clips, space, options)
        rows.append({'target': 'street', **label, 'subset': 'test', **row})
    protocol = {'name': 'fewshot', 'target': ['street'], 'seed': seed}
    content = results_of(root, name, protocol, rows, 'test')
    content['adaptation'] = {'adapt': 'linear', 'proximity': 0.1}
    write_results(merge(content, changes), folder / 'results.json')
    return folder / 'results.json'


def scores_of(root, clips, right, key):
    """Probabilities that are right with the given chance; the same for the same key."""
    digest = hashlib.sha256(key.encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:4], 'little'))
    scores = rng.random((len(clips), root.label_space().num_actions)) / 100
    for row, clip in enumerate(clips):
        hit = rng.random() < right
        scores[row, clip.action if hit else rng.choice(ACTIONS)] += 2
    scores /= scores.sum(axis=1, keepdims=True)
    return ScoreTable(tuple(c.clip for c in clips), scores)


def results_of(root, name, protocol, runs, subset):
    """Contents of a results file, as far as tables read it."""
    return {
        'schema': SCHEMA,
        'task': 'rec',
        'name': name,
        'protocol': protocol,
        'classes': list(root.label_space().actions),
        'checkpoint': {
            'sha256': hashlib.sha256(
                f'{name} {protocol["seed"]} {protocol.get("domain")}'.encode()
            ).hexdigest(),
            'simulated': root.info.simulated,
        },
        'target_seen': [],
        'data': {
            'name': root.info.name,
            'fingerprint': root.fingerprint(),
            'simulated': root.info.simulated,
            'packed': None,
        },
        'options': {
            'subset': subset,
            'class_set': 'present',
            'body_scores': 'sum',
            'body_groups': 'taxonomy',
        },
        'adaptation': None,
        'broken': [],
        'config': {'model': {'type': name}, 'randomness': {'seed': protocol['seed']}},
        'runs': runs,
    }


def merge(content, changes):
    """``content`` with ``section__key=value`` changes."""
    for name, value in changes.items():
        section, _, key = name.partition('__')
        content[section] = {**content[section], key: value} if key else value
    return content


EMOTIONS = ('anger', 'disgust', 'fear', 'happy', 'melancholy', 'sad', 'surprise')
ABLATION = ('all micro-actions', 'without the top-5 micro-actions')
ABLATION += ('top-5 micro-actions only',)
INPUTS = ('micro-expression', 'micro-action', 'both')


def write_emotions(path, study, labels, *, videos=210, emotions=EMOTIONS, **changes):
    """Write results of ``emotion.py``: a row per dict of labels, of made-up scores."""
    runs = []
    for i, label in enumerate(labels):
        rng = np.random.default_rng(i)
        truth = np.arange(videos) % len(emotions)
        scores = rng.random((videos, len(emotions))) + np.eye(len(emotions))[truth] / 2
        groups = [f's{k % 30}' for k in range(videos)]
        row = emotion_row(truth, scores, groups, emotions, resamples=20)
        runs.append({'subset': 'folds', **label, **row})
    content = {
        'schema': SCHEMA,
        'task': 'emotion',
        'name': 'study',
        'protocol': {'name': study},
        'classes': list(emotions),
        'checkpoint': {'simulated': False},
        'data': {'name': 'tiny_set', 'fingerprint': 'f' * 64, 'simulated': True},
        'options': {'features': 'presence', 'folds': 5, 'seed': 0},
        'runs': runs,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_results(merge(content, changes), path)
    return path


def write_ablation(path, **changes):
    """Write results of ``emotion.py ablate``: three experiments, chosen in two ways."""
    chosen = [{'experiment': ABLATION[0]}]
    for selection in ('nested', 'all videos'):
        chosen += [{'experiment': e, 'selection': selection} for e in ABLATION[1:]]
    return write_emotions(path, 'ablate', chosen, **changes)


def write_fusion(path, **changes):
    """Write results of ``emotion.py fuse``: three inputs."""
    inputs = [{'input': name, 'subset': 'test'} for name in INPUTS]
    return write_emotions(path, 'fuse', inputs, **changes)
