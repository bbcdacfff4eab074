import pytest

from mmma.cli import main


def test_task_is_required(capsys):
    with pytest.raises(SystemExit) as stop:
        main('evaluate', [])
    assert stop.value.code == 2
    assert 'TASK' in capsys.readouterr().err


@pytest.mark.parametrize(('task', 'file'), [('rec', 'rec.csv'), ('det', 'det.json')])
def test_each_task_explains_its_files(capsys, task, file):
    with pytest.raises(SystemExit) as stop:
        main('evaluate', [task, '--help'])
    assert stop.value.code == 0
    assert file in capsys.readouterr().out
