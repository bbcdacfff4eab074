import argparse
import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from mmma import cli
from mmma.cli import COMMANDS, entry, main, plain_message
from mmma.cli.arguments import add_options, options_of

REPO = Path(__file__).resolve().parents[2]


def test_every_command_has_a_module_and_a_tool():
    wrong = []
    for command in COMMANDS:
        module = importlib.import_module(f'mmma.cli.{command.replace("/", "_")}')
        tool = REPO / 'tools' / f'{command}.py'
        if not module.__doc__ or f"main('{command}')" not in tool.read_text():
            wrong.append(command)
    assert wrong == []


def test_every_tool_is_a_command():
    tools = {
        str(p.relative_to(REPO / 'tools').with_suffix(''))
        for p in (REPO / 'tools').rglob('*.py')
    }
    assert tools == set(COMMANDS)


def test_the_package_runs_commands_by_name(capsys):
    assert entry(['--help']) == 0
    lines = capsys.readouterr().out.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[1:] if line[:2] == '  ')
    assert told.keys() == set(COMMANDS)
    assert max(map(len, lines)) <= 100
    assert len(lines) <= len(COMMANDS) + 15
    assert 'more:' not in lines
    for wrong, near in (['trian'], 'train'), (['data', 'chek'], 'data/check'):
        assert entry(wrong) == 2
        text = capsys.readouterr().err
        assert f"no command '{wrong[0]}'. Did you mean '{near}'" in text
        assert text.count('\n') == 1
    with pytest.raises(SystemExit, match='0'):
        entry(['train', '--help'])


def test_warnings_of_others_go_to_the_log_of_a_run(monkeypatch):
    note, logging = cli._note, pytest.importorskip('mmengine.logging')
    monkeypatch.setattr(logging.MMLogger, '_instance_dict', {})
    told = ('odd', DeprecationWarning, '/lib/torch/x.py', 3)
    assert note(*told) == '/lib/torch/x.py:3: DeprecationWarning: odd\n'
    records = []
    file = cli.logging.Handler()
    file.emit = records.append
    logger = logging.MMLogger.get_instance('one')
    logger.handlers.append(file)
    assert note(*told) == ''
    assert 'DeprecationWarning: odd' in records[0].getMessage()
    assert note('ours', UserWarning, cli.__file__, 3) == 'note: ours\n'


def test_a_users_error_has_no_traceback_unless_asked_for(capsys, monkeypatch):
    argv = ['recog/nothing']
    assert main('print_config', argv) == 2
    assert capsys.readouterr().err.startswith('error: no config')
    monkeypatch.setenv('MMMA_TRACEBACK', '1')
    with pytest.raises(FileNotFoundError):
        main('print_config', argv)


@pytest.mark.parametrize(
    ('argv', 'lost'),
    [
        (['table', 'A=r.json', '--out', 'r.json'], 'r.json'),
        (['table', 'r.json', '--out', './link.json'], 'link.json'),
        (['test', 'CONFIG', 'a.pth', '--out', 'a.pth'], 'a.pth'),
        (
            ['test', 'CONFIG', 'a.pth', '--data-root', '.', '--dump', 'rec.csv'],
            'rec.csv',
        ),
        (['data/check', '.', '--json', 'dataset.json'], 'dataset.json'),
        (['convert_weights', 'a.pth', 'a.pth', '--from', 'pyskl'], 'a.pth'),
        (['fuse', 's.npz', '--gt', 'rec.csv', '--out', 'rec.csv'], 'rec.csv'),
        (['fuse', 's.npz', '--out', 'r.npz'], 'r.json'),
    ],
)
def test_what_is_read_is_not_written(tmp_path, monkeypatch, capsys, argv, lost):
    monkeypatch.chdir(tmp_path)
    for name in ('r.json', 'a.pth', 'rec.csv', 'dataset.json', 's.npz'):
        Path(name).write_text(f'{{"of": "{name}"}}')
    Path('link.json').symlink_to('r.json')
    before = Path(lost).read_text()
    assert main(argv[0], argv[1:]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f'error: {lost} ')
    assert 'use another name' in told or 'under another name' in told
    assert Path(lost).read_text() == before


def test_arguments_that_are_no_paths_are_let_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('o.json').write_text('{}')
    options = ['--cfg-options', f'x={"a" * 5000}', 'y=b\0c', f'z={"d/" * 3000}']
    keep = ['test', 'CONFIG', 'a.pth', '--out', 'o.json', *options]
    assert main(keep[0], keep[1:]) == 2
    assert "no config 'CONFIG'" in capsys.readouterr().err


def test_errors_of_the_file_system_are_one_line(capsys, monkeypatch, tmp_path):
    import mmma.cli.table

    errors = {
        OSError(28, 'No space left on device', 'a.json'): 'a.json: No space left on',
        OSError(17, 'File exists', 'draft', None, 'a.json'): 'a.json: File exists',
        OSError(5, 'Input/output error'): 'Input/output error',
        ConnectionError('no route to the host'): 'no route to the host',
        ChildProcessError('a worker process ended'): 'a worker process ended',
        ImportError('X needs y: pip install y'): 'X needs y',
        KeyError('Adam is not in the mmma::model registry. '): 'Adam is not in the',
        TypeError('class `A` in a.py: A.__init__() got an unexpected x'): 'A.__init__',
    }
    wrong = []
    for error, told in errors.items():

        def run(args, error=error):
            raise error

        monkeypatch.setattr(mmma.cli.table, 'run', run)
        status, line = main('table', ['x']), capsys.readouterr().err
        if (status, line.count('\n')) != (2, 1) or not line.startswith(
            f'error: {told}'
        ):
            wrong.append((error, status, line))
    assert wrong == []


@pytest.mark.parametrize(
    ('wrapped', 'plain'),
    [
        ('clip x is broken', 'clip x is broken'),
        (
            'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback '
            '(most recent call last):\n  File "a.py"\nValueError: clip x is broken\n',
            'clip x is broken',
        ),
        ('class `ClipDataset` in mmma/datasets/clip_dataset.py: no data', 'no data'),
    ],
)
def test_what_others_wrap_around_a_message_is_taken_off(wrapped, plain):
    assert plain_message(ValueError(wrapped)) == plain


@pytest.mark.parametrize(
    'words',
    [
        ['tools/print_config.py', 'recog/tsm_mma82_indomain.py'],
        ['tools/infer.py', '--help'],
        ['-m', 'mmma', '--help'],
    ],
)
def test_a_reader_that_stops_reading_is_no_error(words):
    command, pipe = [sys.executable, *words], subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, cwd=REPO
    ) as process:
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (141, '')


@dataclass(frozen=True)
class Choices:
    """Choices of a test.

    Attributes:
        name (N): what it is called, 100 %
            of the time
        level: where to look
        sides (A|B): which
        rate (FPS): pictures
        cache: not kept
        fast: soon
    """

    name: str
    level: Literal['low', 'high'] = 'low'
    sides: tuple[int, ...] = (1, 2)
    rate: float | None = None
    cache: bool = True
    fast: bool = False


def test_options_are_flags():
    parser = argparse.ArgumentParser(prog='p')
    add_options(parser, Choices, fast={'flag': '--quick', 'help': None})
    argv = ['--name', 'a']
    assert options_of(Choices, parser.parse_args(argv)) == Choices('a')
    argv += ['--level', 'high', '--sides', '3', '--rate', '2', '--no-cache', '--quick']
    given = options_of(Choices, parser.parse_args(argv))
    assert given == Choices('a', 'high', (3,), 2.0, False, True)
    told = parser.format_help()
    assert '--name N' in told
    assert 'what it is called, 100 % of the time' in told
    assert '--sides A|B [A|B ...]' in told
    for wrong in ([], ['--name', 'a', '--level', 'middle']):
        with pytest.raises(SystemExit, match='2'):
            parser.parse_args(wrong)


def test_some_options_in_another_order():
    parser = argparse.ArgumentParser(prog='p')
    add_options(parser, Choices, 'fast', 'level')
    assert parser.format_usage() == 'usage: p [-h] [--fast] [--level {low,high}]\n'
    assert options_of(Choices, parser.parse_args(['--fast']), name='b').fast


@pytest.mark.parametrize(
    ('argv', 'told'),
    [
        (['train', 'x', '--protocl', 'y'], "--protocl y. Did you mean '--protocol'? "),
        (['evaluate', 'det', '--pred', 'x'], 'required: --gt. '),
    ],
)
def test_wrong_arguments_are_one_line(argv, told, capsys):
    with pytest.raises(SystemExit, match='2'):
        entry(argv)
    err = capsys.readouterr().err
    assert err.startswith('error: ')
    assert told in err
    assert re.search(r'`mmma (train|evaluate det) --help` tells all\n$', err)
    assert err.count('\n') == 1
