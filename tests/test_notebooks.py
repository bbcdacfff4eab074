"""The notebooks of docs/ run, and are committed without what they print."""

import base64
import re
from pathlib import Path

import pytest

from mmma.files import read_json

NOTEBOOKS = sorted((Path(__file__).parents[1] / 'docs' / 'notebooks').glob('*.ipynb'))


def test_notebooks_are_committed_bare():
    for path in NOTEBOOKS:
        cells = read_json(path)['cells']
        first = ''.join(cells[0]['source'])
        assert cells[0]['cell_type'] == 'markdown', path.name
        assert re.match(r'# \d\. \w', first), path.name
        assert 'simulated' in first, path.name
        ids = [cell['id'] for cell in cells]
        assert ids == [f'cell-{n:02d}' for n in range(1, len(ids) + 1)], path.name
        for cell in cells:
            assert not cell.get('outputs'), f'{path.name}: clear the outputs'
            assert cell.get('execution_count') is None, f'{path.name}: clear the counts'
            assert not cell['metadata'], path.name


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Run a notebook in a folder that all share: its text, tables, pictures."""
    nbformat = pytest.importorskip('nbformat')
    client = pytest.importorskip('nbclient')
    pytest.importorskip('ipykernel')
    pytest.importorskip('pandas')
    folder = tmp_path_factory.mktemp('anywhere')

    def execute(number):
        book = nbformat.read(NOTEBOOKS[number - 1], as_version=4)
        place = {'metadata': {'path': str(folder)}}
        client.NotebookClient(book, timeout=300, resources=place).execute()
        outputs = [out for cell in book.cells for out in cell.get('outputs', ())]
        text = ''.join(out['text'] for out in outputs if out.output_type == 'stream')
        shown = [out['data'] for out in outputs if 'data' in out]
        tables = [data['text/html'] for data in shown if '<table' in str(data)]
        pictures = [data['image/png'] for data in shown if 'image/png' in data]
        assert all(base64.b64decode(one)[:4] == b'\x89PNG' for one in pictures)
        return text, tables, len(pictures), folder / 'mmma-notebooks'

    return execute


# One test, so that parallel runs simulate once.
def test_notebooks_run(run):
    text, tables, pictures, here = run(1)
    assert 'mma82-simulated, simulated: True' in text
    assert 'people in more than one subset: 0' in text
    assert 'inputs (1, 1, 48, 31, 4) of torch.float32' in text
    assert (len(tables), pictures) == (3, 4)
    assert all('simulated data' in table for table in tables[1:])
    text, tables, pictures, here = run(2)
    assert 'SIMULATED DATA' in text
    assert 'complete already, nothing to do' in text
    assert (len(tables), pictures) == (2, 2)
    assert 'action/top1 low' in tables[0]
    assert 'True' in tables[0]  # the column that says simulated
    assert (here / 'report.html').is_file()
    text, tables, pictures, here = run(3)
    assert '(8, 3, 64, 64) to (82,) (weights of simulated data)' in text
    assert 'what they say of real ones may be wrong' in text
    assert (len(tables), pictures) == (2, 1)
    (page,) = (here / 'answers').glob('lab_*.html')
    assert 'simulated' in page.read_text('utf-8')
    assert len([*(here / 'answers' / 'elan').glob('*.eaf')]) == 1
