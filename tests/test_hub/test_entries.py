"""Metafile entries of published models, computed from their folder."""

import pytest

from mmma.hub.entries import (
    display_name,
    license_of,
    metafile_entry,
    modality,
    result_items,
    result_rows,
)

META = {
    'label_space': 'mma82',
    'data': {'name': 'corpus', 'simulated': False, 'source': 'a release'},
    'protocol': {'name': 'indomain'},
    'pretrain_data': 'kinetics-400',
    'parameters': 12,
    'precision': 'float16',
}
LICENSES = {'License': {'Code': 'MIT', 'Pretrained Weights': 'CC-BY-NC-4.0'}}
METAFILE = {'Collections': [{'Name': 'TSM', **LICENSES}]}


class Folder:
    """A published model without files."""

    name, sha256, relative = 'tsm', 'ab' * 32, 'zoo/tsm/tsm-abababab.safetensors'
    meta = META
    cfg = {'test_dataloader': {'dataset': {'modality': 'Pose'}}}

    def __init__(self, path, **results):
        self.path = path
        self.weights = path / 'weights'
        self.weights.write_bytes(b'123')
        self.told = results

    def results(self):
        return self.told


def results(task, runs, protocol='indomain', simulated=True):
    data = {'simulated': simulated}
    return dict(task=task, runs=runs, protocol={'name': protocol}, data=data)


def test_entry(tmp_path):
    entry = metafile_entry(Folder(tmp_path), None, METAFILE, {'Architecture': 'R50'})
    assert entry == {
        'Name': 'tsm',
        'Config': 'zoo/tsm/config.py',
        'Modality': 'Pose',
        'Metadata': {
            'Architecture': 'R50',
            'Parameters': 12,
            'Pretrained': 'kinetics-400',
            'Training Data': 'corpus (a release)',
            'Simulated': False,
            'Protocol': 'indomain',
            'Precision': 'float16',
        },
        'License': 'CC-BY-NC-4.0',
        'Weights': 'zoo/tsm/tsm-abababab.safetensors',
        'Weights SHA256': 'ab' * 32,
        'Weights Size': 3,
    }


def test_what_people_wrote_of_other_weights_goes(tmp_path):
    old = {'Name': 'tsm', 'License': 'MIT', 'Paper': {'URL': 'x'}}
    for sha256, kept in (('ab' * 32, True), ('cd' * 32, False)):
        models = [{**old, 'Weights SHA256': sha256}]
        entry = metafile_entry(Folder(tmp_path), 'a.py', {**METAFILE, 'Models': models})
        assert (entry['License'] == 'MIT') is kept
        assert ('Paper' in entry) is kept


@pytest.mark.parametrize(
    ('started', 'expected'),
    [('kinetics-400', 'CC-BY-NC-4.0'), ('none', 'MIT'), (None, 'MIT')],
)
def test_license(started, expected):
    assert license_of(METAFILE, {'pretrain_data': started}) == expected
    assert license_of({}, {'pretrain_data': started}) == 'Apache-2.0'


def test_results(tmp_path):
    runs = [
        {'domain': 'all', 'metrics': {'action/top1': 12.3456, 'other': 1.0}},
        {'domain': 'lab', 'metrics': {'action/top1': 20.0}},
    ]
    detections = [{'target': 'street', 'metrics': {'action/mAP@0.50': 3.0, 'AVG': 2.0}}]
    model = Folder(
        tmp_path,
        **{
            'results.json': results('rec', runs),
            'results_zeroshot.json': results('det', detections, 'zeroshot', False),
        },
    )
    assert list(result_items(model)) == [
        {
            'Task': 'Action Recognition',
            'Dataset': 'simulated MMA-82, all, test',
            'Metrics': {'action/top1': 12.35},
        },
        {
            'Task': 'Action Recognition',
            'Dataset': 'simulated MMA-82, lab, test',
            'Metrics': {'action/top1': 20.0},
        },
        {
            'Task': 'Temporal Action Detection',
            'Dataset': 'MMA-82, street, test (zeroshot)',
            'Metrics': {'action/mAP@0.50': 3.0, 'AVG': 2.0},
        },
    ]


def test_support_draws_are_averaged_and_controls_left_out():
    runs = [
        {'target': 'street', 'shots': 0, 'metrics': {'a': 1.0}},
        {'target': 'street', 'shots': 0, 'control': 'prior', 'metrics': {'a': 9.0}},
        {'target': 'street', 'shots': 5, 'run': 0, 'metrics': {'a': 2.0}},
        {'target': 'street', 'shots': 5, 'run': 1, 'metrics': {'a': 5.0}},
    ]
    found = result_rows({'runs': runs})
    assert found == {'street 0-shot': {'a': 1.0}, 'street 5-shot': {'a': 3.5}}


def test_names():
    assert display_name('ma52') == 'MA-52'
    assert modality({'test_dataloader': {'dataset': {}}}) == 'RGB'
