import pytest
from result_files import make_rec_root, write_fewshot, write_model

from mmma.evaluation.recognition import EvaluationOptions, Truth, evaluate_row
from mmma.evaluation.scores import join_tables, read_scores
from mmma.reporting.pooling import pool_entries, pooled_domains
from mmma.reporting.results import Entry, read_entries
from mmma.reporting.tables import results_table
from mmma.taxonomy import DOMAINS


@pytest.fixture(scope='module')
def separate(rec_root, tmp_path_factory):
    """Results of one model per domain."""
    folder = tmp_path_factory.mktemp('separate')
    return [
        write_model(folder / d, rec_root, 'a_mma82', 0.3 + 0.1 * i, domain=d)
        for i, d in enumerate(DOMAINS)
    ]


def read(files):
    return read_entries([str(file) for file in files])


def test_pooled_metrics_equal_those_of_all_clips_at_once(separate, rec_root):
    (pooled,) = pool_entries(read(separate))
    row = pooled.results['runs'][0]
    space = rec_root.label_space()
    table = join_tables([read_scores(f.parent / 'scores.npz', space) for f in separate])
    truth = Truth.from_clips(c for c in rec_root.read_rec() if c.subset == 'test')
    expected = evaluate_row(table, truth, space, EvaluationOptions())
    assert row['domain'] == 'all'
    assert row['metrics'] == pytest.approx(expected['metrics'])
    assert row['counts'] == expected['counts']
    for name, metrics in row['class_sets'].items():
        assert metrics == pytest.approx(expected['class_sets'][name])
    hits = expected['per_class']['action']['hits']
    assert row['per_class']['action']['hits'] == hits
    assert 'intervals' not in row
    assert row['across_domains']['worst_domain']['action/top1'] in DOMAINS


def test_a_pooled_result_keeps_the_rows_of_its_domains_and_its_files(separate):
    (pooled,) = pool_entries(read(separate))
    assert [run['domain'] for run in pooled.results['runs']] == ['all', *DOMAINS]
    assert pooled_domains(pooled.results) == list(DOMAINS)
    assert pooled.files == tuple(separate)
    assert 'indomain, one model per domain' in results_table([pooled.results])


def test_fewer_domains_are_no_all(separate):
    (pooled,) = pool_entries(read(separate[2:0:-1]))
    assert pooled.results['runs'][0]['domain'] == 'psychiatric+street'


def test_other_results_stay_as_they_are(separate, rec_root, tmp_path):
    other = write_fewshot(tmp_path / 'f', rec_root, 'a_mma82', 0.5)
    entries = pool_entries(read([other, *separate]))
    assert [e.results['protocol']['name'] for e in entries] == ['fewshot', 'indomain']


def test_nothing_to_pool_is_an_error(separate, rec_root, tmp_path):
    joint = write_model(tmp_path / 'j', rec_root, 'a_mma82', 0.5)
    with pytest.raises(ValueError, match='nothing to pool'):
        pool_entries(read([joint, separate[0]]))


def test_a_domain_twice_is_refused(separate, rec_root, tmp_path):
    again = write_model(
        tmp_path / 'again', rec_root, 'a_mma82', 0.9, domain='lab', broken=['x']
    )
    with pytest.raises(ValueError, match="two results of domain 'lab' with seed 0"):
        pool_entries(read([*separate, again]))


def test_results_measured_differently_are_not_pooled(separate, rec_root, tmp_path):
    other = write_model(
        tmp_path / 'o', rec_root, 'a_mma82', 0.9, domain='lab', options__class_set='all'
    )
    with pytest.raises(ValueError, match=r'options\.class_set differs'):
        pool_entries(read([separate[1], other]))


def test_other_classes_are_not_pooled(separate):
    entries = read(separate[:2])
    entries[1].results['runs'][1]['per_class']['action']['name'][0] = 'flying'
    with pytest.raises(ValueError, match='the action classes of its results differ'):
        pool_entries(entries)


def test_detection_is_not_pooled(separate):
    (entry,) = read(separate[:1])
    with pytest.raises(ValueError, match='AP ranks the predictions of all videos'):
        pool_entries([Entry({**entry.results, 'task': 'det'}, entry.files)])


def test_the_root_may_be_real(tmp_path):
    root = make_rec_root(tmp_path / 'real', simulated=False)
    files = [
        write_model(tmp_path / d, root, 'a_mma82', 0.5, domain=d) for d in DOMAINS[:2]
    ]
    (pooled,) = pool_entries(read(files))
    assert pooled.results['checkpoint']['simulated'] is False
