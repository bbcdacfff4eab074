"""What may lie in the folder that a corpus is written into."""

import shutil

import pytest

from mmma.simulation import folder
from mmma.simulation.folder import needed_bytes, prepare
from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan
from mmma.simulation.writer import write_corpus


def tables(**options):
    return make_plan(SimulationOptions('tiny', tables_only=True, **options))


@pytest.fixture
def corpus(tmp_path):
    write_corpus(tables(), tmp_path / 'corpus')
    return tmp_path / 'corpus'


def test_foreign_folder_is_refused_even_by_force(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(ValueError, match='holds no simulated corpus: choose another'):
        prepare(tmp_path, tables(), 'f', force=True)
    assert (tmp_path / 'thesis.tex').is_file()


def test_file_is_refused(tmp_path):
    (tmp_path / 'a').write_text('')
    with pytest.raises(ValueError, match='is a file: name a folder'):
        prepare(tmp_path / 'a', tables(), 'f', force=False)


def test_other_options_are_refused(corpus):
    with pytest.raises(
        ValueError, match=r'another simulated corpus \(.*seed 0\).*--for'
    ):
        write_corpus(tables(seed=1), corpus)


def test_force_replaces_and_spares_the_rest(corpus):
    (corpus / 'notes.txt').write_text('mine')
    assert write_corpus(tables(seed=1, tasks=('rec',)), corpus, force=True)
    names = {file.name for file in corpus.iterdir()}
    assert names == {'dataset.json', 'rec.csv', 'notes.txt'}


def test_edited_table_is_another_corpus(corpus):
    with (corpus / 'rec.csv').open('a') as file:
        file.write('one,,train,lab,me,nodding,head,\n')
    with pytest.raises(ValueError, match='another simulated corpus'):
        write_corpus(tables(), corpus)


def test_unfinished_of_other_code_is_refused(tmp_path):
    assert not prepare(tmp_path, tables(), 'old', force=False)
    assert not prepare(tmp_path, tables(), 'old', force=False)
    with pytest.raises(ValueError, match=r'an unfinished corpus \(scale tiny, tables'):
        prepare(tmp_path, tables(), 'new', force=False)
    assert not prepare(tmp_path, tables(), 'new', force=True)


def test_needed_bytes_by_hand():
    plan = make_plan(SimulationOptions('tiny'))
    rec, det = (sum(i.frames for i in items) for items in (plan.rec, plan.det))
    assert needed_bytes(plan) == (rec + det + max(rec, det)) * 65 * 3 * 2
    assert needed_bytes(tables()) == 0


def test_videos_need_space():
    drawn = make_plan(SimulationOptions('tiny', modality='video', videos=1))
    assert needed_bytes(drawn) > 10_000


def test_small_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(folder.shutil, 'disk_usage', lambda path: usage)
    plan = make_plan(SimulationOptions('tiny'))
    with pytest.raises(
        ValueError, match=r'needs about 34 MB, 1 MB are free there: free 33 MB'
    ):
        prepare(tmp_path / 'a', plan, 'f', force=False)
    assert not (tmp_path / 'a').exists()
