import json

from mmma.cli import main
from mmma.reporting.results import SCHEMA


def results_file(folder, name, class_set='present'):
    metrics = dict.fromkeys(
        ['action/top1', 'action/top5', 'action/mca', 'action/macro_f1', 'body/top1',
         'body/mca', 'body/macro_f1', 'F1_mean'], 12.5,
    )  # fmt: skip
    content = {
        'schema': SCHEMA,
        'task': 'rec',
        'name': name,
        'protocol': {'name': 'indomain'},
        'data': {'name': 'x', 'simulated': False},
        'options': {'class_set': class_set},
        'checkpoint': {'simulated': False},
        'runs': [{'domain': 'all', 'counts': {'clips': 8}, 'metrics': metrics}],
    }
    path = folder / f'{name}.json'
    path.write_text(json.dumps(content))
    return str(path)


def test_results_side_by_side_printed_and_saved(tmp_path, capsys):
    files = [results_file(tmp_path, name) for name in ('one', 'two')]
    out = tmp_path / 'table.txt'
    assert main('table', [*files, '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed == out.read_text()
    assert printed.count('12.50') == 16


def test_results_that_differ_in_an_option_are_refused(tmp_path, capsys):
    files = [results_file(tmp_path, 'one'), results_file(tmp_path, 'two', 'all')]
    assert main('table', files) == 2
    assert 'options.class_set differs' in capsys.readouterr().err
