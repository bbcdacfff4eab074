import shutil

import numpy as np
import pytest
from result_files import write_fewshot, write_model

from mmma.data.videos import Video
from mmma.evaluation.bootstrap import holm, mcnemar_exact
from mmma.evaluation.scores import read_scores
from mmma.reporting.paired import (
    ScoreFiles,
    add_tests,
    compare_inputs,
    fuse_inputs,
    least_difference,
    read_truth,
)
from mmma.reporting.paper import paper_tables
from mmma.reporting.results import pool_results, read_named
from mmma.taxonomy import DOMAINS

KEY = ('action/top1', 'test')
FEW = 1000


@pytest.fixture(scope='module')
def models(rec_root, tmp_path_factory):
    """Results of a baseline, one that is better, one that is as good."""
    folder = tmp_path_factory.mktemp('models')
    chances = {'base': 0.2, 'good': 0.9, 'same': 0.2}
    return {
        name: write_model(folder / name, rec_root, name, chance)
        for name, chance in chances.items()
    }


def compare(root, files, baseline, pool=False, given=None, resamples=FEW):
    entries = read_named([str(file) for file in files])
    tables = paper_tables(pool_results(entries) if pool else entries)
    scores = ScoreFiles(root.read_rec(), root.label_space(), given)
    add_tests(tables, baseline, scores, resamples)
    return tables


def own(table, **wanted):
    rows = [row for row in table.rows if not row.paper]
    return [r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())]


def test_bold_is_what_is_significantly_better(rec_root, models):
    table, body = compare(rec_root, models.values(), 'base')
    cells = {row.name: row.cells for row in own(table, place='all')}
    for key in ('action/top1', 'action/mca', 'action/macro_f1'):
        assert cells['good'][key, 'test'].is_bold()
        assert not cells['same'][key, 'test'].is_bold()
        assert cells['base'][key, 'test'].test == ''
    assert own(body, place='all', name='good')[0].cells['body/mca', 'test'].is_bold()
    papers = [row for row in table.rows if row.paper]
    assert not any(cell.test for row in papers for cell in row.cells.values())
    assert any('Tested against base on the same clips' in n for n in table.notes)


def test_top1_is_tested_by_mcnemar_over_clips_and_corrected_over_rows(rec_root, models):
    table, _ = compare(rec_root, models.values(), 'base')
    cell = own(table, place='lab', name='same')[0].cells[KEY]
    space = rec_root.label_space()
    clips = [c for c in rec_root.read_rec() if (c.domain, c.subset) == ('lab', 'test')]
    hits = []
    for name in ('same', 'base'):
        scores = read_scores(models[name].parent / 'scores.npz', space)
        scores = scores.select([c.clip for c in clips]).scores
        hits.append(scores.argmax(axis=1) == [c.action for c in clips])
    assert cell.test == 'McNemar exact'
    assert cell.p == mcnemar_exact(*hits)
    assert cell.difference == pytest.approx(100 * (np.mean(hits[0]) - np.mean(hits[1])))
    tests = [row.cells[KEY] for row in own(table) if row.name != 'base']
    assert [t.p_holm for t in tests] == holm([t.p for t in tests])


def test_seeds_are_compared_by_their_mean(rec_root, models, tmp_path):
    more = write_model(tmp_path / 'm', rec_root, 'good', 0.9, seed=1)
    table, _ = compare(rec_root, [*models.values(), more], 'base')
    row = own(table, place='all', name='good')[0]
    base = own(table, place='all', name='base')[0]
    cell = row.cells[KEY]
    assert row.seeds == '2'
    assert cell.test == 'paired bootstrap by subject'
    difference = cell.value - base.cells[KEY].value
    assert cell.difference == pytest.approx(difference)


def test_fewshot_and_pooled_rows_find_their_files(rec_root, tmp_path):
    few = [
        write_fewshot(tmp_path / n, rec_root, n, c) for n, c in (('a', 0.1), ('b', 0.9))
    ]
    table, _ = compare(rec_root, few, 'a')
    row = own(table, setting='5-shot', name='b')[0]
    assert row.cells['action/mca', 'test'].is_bold()
    separate = [
        write_model(tmp_path / f'{n}{d}', rec_root, n, c, domain=d)
        for n, c in (('a', 0.1), ('b', 0.9))
        for d in DOMAINS
    ]
    table, _ = compare(rec_root, separate, 'a', pool=True)
    assert own(table, place='all', name='b')[0].cells[KEY].is_bold()
    assert own(table, place='lab', name='b')[0].cells[KEY].test


def test_a_subset_that_the_baseline_lacks_is_not_tested(rec_root, models, tmp_path):
    val = write_model(tmp_path / 'v', rec_root, 'good', 0.9, subset='val')
    table, _ = compare(rec_root, [models['base'], models['good'], val], 'base')
    cells = own(table, place='all', name='good')[0].cells
    assert cells[KEY].test == 'McNemar exact'
    assert cells['action/top1', 'val'].test == ''


def test_without_scores_nothing_is_tested_and_the_table_says_so(
    rec_root, models, tmp_path
):
    bare = tmp_path / 'bare.json'
    shutil.copy(models['good'], bare)
    files = [models['base'], bare]
    table, _ = compare(rec_root, files, 'base')
    assert not any(c.test for row in table.rows for c in row.cells.values())
    (note,) = (n for n in table.notes if 'not tested, so nothing in them is bold' in n)
    assert 'bare.npz: write them with test.py --dump' in note
    given = {bare: models['good'].parent / 'scores.npz'}
    table, _ = compare(rec_root, files, 'base', given=given)
    assert own(table, place='all', name='good')[0].cells[KEY].test


def test_scores_of_another_model_are_refused(rec_root, models):
    given = {models['good']: models['same'].parent / 'scores.npz'}
    with pytest.raises(ValueError, match='They are not the scores of these results'):
        compare(rec_root, [models['base'], models['good']], 'base', given=given)


def test_scores_that_lack_a_clip_are_refused(rec_root, models, tmp_path):
    few = write_fewshot(tmp_path / 'f', rec_root, 'few', 0.5)
    given = {models['good']: few.parent / 'scores_street_5shot_run0.npz'}
    with pytest.raises(ValueError, match=r'run0\.npz: 72 of 96 clips have no scores'):
        compare(rec_root, [models['base'], models['good']], 'base', given=given)


def test_truth_without_the_clips_is_refused(rec_root, models):
    tables = paper_tables(read_named([str(models['base']), str(models['good'])]))
    clips = [c for c in rec_root.read_rec() if c.subset == 'val']
    scores = ScoreFiles(clips, rec_root.label_space())
    with pytest.raises(ValueError, match="no clip of all, subset 'test': give --gt"):
        add_tests(tables, 'base', scores, FEW)


def test_clips_left_out_of_one_model_are_refused(rec_root, models):
    entries = read_named([str(models['base']), str(models['good'])])
    tables = paper_tables(entries, level='action')
    clips = [c for c in rec_root.read_rec() if c.subset == 'test']
    scores = ScoreFiles(clips, rec_root.label_space())
    sample = own(tables[0], place='all', name='good')[0].samples['test'][0]
    clips, outcomes = scores.scored(sample)
    shorter = clips[:95], outcomes
    scores._found[id(sample.run)] = shorter
    with pytest.raises(
        ValueError, match='good and base were tested on different clips'
    ):
        add_tests(tables, 'base', scores, FEW)


def test_an_unknown_baseline_is_refused_with_a_suggestion(rec_root, models):
    with pytest.raises(
        ValueError, match="no such row; there are 'base', 'good', 'same'"
    ):
        compare(rec_root, models.values(), 'bas')


def test_a_baseline_of_several_rows_is_refused(rec_root, tmp_path):
    prototype = {'adapt': 'prototype', 'temperature': 0.1}
    files = [
        write_fewshot(tmp_path / 'l', rec_root, 'base', 0.5),
        write_fewshot(tmp_path / 'p', rec_root, 'base', 0.5, adaptation=prototype),
        write_fewshot(tmp_path / 'o', rec_root, 'other', 0.5),
    ]
    with pytest.raises(
        ValueError, match="'base' is several rows of 5-shot: 'base, lin"
    ):
        compare(rec_root, files, 'base')
    table, _ = compare(rec_root, files, 'base, linear (proximity 0.1)')
    assert own(table, name='other', setting='5-shot')[0].cells[KEY].test


def test_too_few_resamples_are_owned_up_to(rec_root, models):
    table, _ = compare(rec_root, models.values(), 'base', resamples=99)
    assert any('99 resamples can show no p below' in note for note in table.notes)


def test_detection_has_no_paired_test(rec_root, models):
    (results,) = read_named([str(models['base'])])
    with pytest.raises(ValueError, match='AP is no mean over clips'):
        read_truth(rec_root.path, {**results, 'task': 'det'})


def test_what_leads_could_be_seen():
    # Of 6 that differ all must be gained: 2 * 0.5 ** 6 = 0.031; of 5: 0.063.
    assert [least_difference(n) for n in (0, 5, 6, 7, 8)] == [None, None, 6, 7, 8]
    assert least_difference(20) == 10  # 15 of 20: p 0.041; 14: 0.115
    hits = np.zeros((3, 210), dtype=bool)
    hits[2, :7] = hits[1, 7:9] = True
    told = compare_inputs(hits, ('a', 'b', 'both'))
    assert told['visible']['step'] == pytest.approx(100 / 210)
    assert told['visible']['least'] == pytest.approx(600 / 210)
    first, second = told['tests']
    assert (first['gained'], first['lost'], first['verdict']) == (
        7,
        0,
        'both gains over a',
    )
    assert first['p'] == pytest.approx(2 * 0.5**7)
    assert first['p_holm'] == pytest.approx(4 * 0.5**7)
    assert (second['gained'], second['lost']) == (7, 2)
    assert second['verdict'] == 'no gain shown'
    assert second['least'] == pytest.approx(700 / 210)  # 8 of 9
    none = compare_inputs(hits[:, :4], ('a', 'b', 'both'))
    assert none['visible']['least'] is None


EMOTIONS = ('anger', 'disgust', 'fear', 'happy', 'melancholy', 'sad', 'surprise')


def study(subsets=(('train', 105), ('val', 105), ('test', 210)), names=EMOTIONS):
    """Videos of all emotions in turn."""
    count = [0]

    def video(subset):
        count[0] += 1
        i = count[0]
        emotion = names[i % len(names)]
        place = f'v{i:03}', '', subset, 'lab', '', 25.0, 50, 2.0
        return Video(*place, emotion=emotion)

    return [video(subset) for subset, n in subsets for _ in range(n)]


def planted(videos, known, seed, strength=4.0):
    """Scores that tell the emotions of ``known``, and are noise on others."""
    rng, scores = np.random.default_rng(seed), {}
    for video in videos:
        own = rng.normal(size=len(EMOTIONS))
        if video.emotion in known:
            own[EMOTIONS.index(video.emotion)] += strength
        scores[video.video] = np.exp(own) / np.exp(own).sum()
    return scores


def run(videos, actions, faces, space='mean'):
    report = fuse_inputs(videos, (actions, faces), EMOTIONS, space, 0)
    return report, {row['input']: row['metrics'] for row in report['runs']}


@pytest.mark.parametrize('space', ['mean', 'logit'])
def test_complementary_faces_gain_and_redundant_ones_do_not(space):
    videos = study()
    actions = planted(videos, EMOTIONS[:4], 1)
    report, metrics = run(
        videos, actions, planted(videos, EMOTIONS[4:], 2), space=space
    )
    assert (
        metrics['both']['emotion/top1'] > metrics['micro-action']['emotion/top1'] + 10
    )
    assert [t['verdict'] for t in report['tests']] == [
        'both gains over micro-action',
        'both gains over micro-expression',
    ]
    report, metrics = run(videos, actions, actions, space=space)
    assert metrics['both'] == metrics['micro-action'] == metrics['micro-expression']
    assert [t['verdict'] for t in report['tests']] == ['no gain shown'] * 2
    assert [t['p'] for t in report['tests']] == [1.0, 1.0]


def test_weights_are_learnt_on_val_alone():
    videos = study()
    actions, faces = planted(videos, EMOTIONS[:4], 1), planted(videos, EMOTIONS[2:], 2)
    report = run(videos, actions, faces)[0]
    wrong = [
        Video(**{**vars(v), 'emotion': EMOTIONS[(i * 5) % 7]})
        if v.subset == 'test'
        else v
        for i, v in enumerate(videos)
    ]
    other = run(wrong, actions, faces)[0]
    assert report['fusion'] == other['fusion']
    assert report['fusion']['weights_from'] == 'val'
    assert report['runs'] != other['runs']


def test_videos_without_a_face_get_the_shares_of_train_and_are_counted():
    videos = study()
    faces = planted(videos, EMOTIONS, 2)
    for video in [v for v in videos if v.subset == 'test'][:30]:
        del faces[video.video]
    report = run(videos, planted(videos, EMOTIONS, 1), faces)[0]
    assert report['fusion']['test_videos_without_face'] == 30


@pytest.mark.parametrize('val', [0, 6, 19])
def test_few_val_videos_give_equal_weights_and_say_so(val):
    videos = study([('train', 70), ('val', val), ('test', 70)])
    scores = planted(videos, EMOTIONS, 1)
    fusion = run(videos, scores, scores)[0]['fusion']
    assert (fusion['weights'], fusion['weights_from']) == ([0.5, 0.5], 'equal')
    assert fusion['why'].startswith(f'{val} val videos')
    assert ('anger' in fusion['why']) == (val < 7)


def test_what_cannot_be_fused_is_refused():
    videos = study([('train', 70), ('test', 70)])
    scores = planted(videos, EMOTIONS, 1)
    with pytest.raises(ValueError, match=r"1 of 70 test videos have no .*'v071'"):
        run(videos, {k: v for k, v in scores.items() if k != 'v071'}, scores)
    one = study([('train', 9), ('test', 9)], names=['anger'])
    with pytest.raises(ValueError, match=r'9 test videos have 1 emotions: give two'):
        run(one, scores, scores)
    videos = study()
    logits = {video.video: np.arange(-3.0, 4.0) for video in videos}
    with pytest.raises(ValueError, match='weights can be learnt from probabilities'):
        run(videos, logits, logits)
