"""What the toolbox keeps for itself, damaged: made again, or named with what to do."""

import json
import re
import shutil
import warnings

import numpy as np
import pytest

from mmma.checkpoints.download import _read_notes
from mmma.data import leakage
from mmma.engine.features import read_cache, write_cache
from mmma.engine.findings import SCHEMA, made_before
from mmma.files import read_own
from mmma.media.pack import Journal
from mmma.media.pose import Partial, open_partials, read_partial, write_partial
from mmma.simulation import corpus
from mmma.simulation.plan import SimulationOptions
from mmma.simulation.planner import make_plan

MARKS = np.zeros((2, leakage.CELLS, leakage.CELLS), np.float16)
JOINTS = np.ones((2, 1, 65, 3), np.int16)
PLAN = make_plan(SimulationOptions('tiny', tasks=('rec',))).head(2)


def marks(folder):
    for file in folder.glob('*.npz'):
        if kept := read_own(file, leakage._marks_of):
            return [(name, found.tolist()) for name, found in kept]
    leakage._store(folder, {'a': MARKS})
    return None


def features(folder):
    if not (kept := read_cache(folder, {'a': 1})):
        write_cache(folder, {'a': 1}, {'a': (np.ones((1, 3)), np.ones(82))})
    return [part.tolist() for part in kept.get('a', ())]


def partial(folder):
    file, source = folder / 'a.npz', folder.with_name('a.mp4')
    source.touch()
    if (kept := read_partial(file, source)) is None:
        write_partial(file, Partial(JOINTS, 25.0, 64, 48), source)
    return kept and kept.joints.tolist()


def extraction(folder):
    return open_partials(folder, 'own', force=False).name


def journal(folder):
    return Journal(folder, {'source': 'x'}, force=False).header


def chunks(folder):
    (chunk, *_) = corpus.make_chunks(PLAN)
    if corpus.lacks_skeletons(chunk, folder):
        corpus.write_chunk(chunk, folder)
    return corpus._waiting(chunk, folder).tolist()


def plan(folder):
    known = (folder / '.partial/plan.json').is_file()
    corpus._prepare(folder, PLAN, 'own', force=False)
    return known


def notes(folder):
    file = folder / 'a.pth.part'
    if 'url' not in (kept := _read_notes(file)):
        file.with_name('a.pth.part.json').write_text('{"url": "x"}')
    return kept


def answers(folder):
    request = {'options': {'path': 1}}
    file = folder / 'a.json'
    if not file.exists():
        file.write_text(json.dumps({'schema': SCHEMA, 'request': request}))
    return made_before(folder, 'a', request, 'a.mp4')


KEPT = (*(marks, features, partial, extraction, journal, chunks, plan, notes, answers),)
DAMAGES = {
    'cut': lambda old: old[: len(old) // 2],
    'empty': lambda old: b'',
    'garbage': lambda old: b'\xff\x00garbage' * 99,
    'zeros': lambda old: bytes(len(old)),
    'of zip': lambda old: b'PK\x03\x04' + old[:99],
    'of numpy': lambda old: b'\x93NUMPY\x01\x00\x10\x00{(' + old[:99],
    'number': lambda old: b'5',
    'list': lambda old: b'[[1]]\n',
    'other version': lambda old: b'{"schema": 99, "version": "older"}\n',
    'deep': lambda old: b'[' * 100_000,
    'folder': None,
}


@pytest.mark.parametrize('kept', KEPT)
def test_damaged_files_of_ours_are_made_again_or_named(tmp_path, kept):
    folder = tmp_path / 'kept'
    folder.mkdir()
    kept(folder)
    (file,) = (path for path in folder.rglob('*') if path.is_file())
    whole, odd = file.read_bytes(), []
    expected = kept(folder)
    for name, damage in DAMAGES.items():
        file.unlink()
        if damage:
            file.write_bytes(damage(whole))
        else:
            (file / 'inner').mkdir(parents=True)
        with warnings.catch_warnings(record=True):
            warnings.simplefilter('always')
            try:
                kept(folder)
                if kept(folder) != expected:
                    odd.append(f'{name}: {kept(folder)}')
            except (ValueError, OSError) as error:
                if not re.search(r'delete|another|Is a directory', str(error)):
                    odd.append(f'{name}: {error}')
        shutil.rmtree(folder)
        folder.mkdir()
        kept(folder)
    assert not odd
