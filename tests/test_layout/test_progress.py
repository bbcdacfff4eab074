import io
import sys

import pytest

from mmma.layout.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_items_pass_and_a_log_gets_ten_lines(capsys):
    assert list(progress(range(1000), 1000, 'decode')) == list(range(1000))
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == 'decode 1000/1000'
    assert len(lines) <= 11


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    list(progress('ab', 2, 'decode'))
    halves = terminal.getvalue().split('\r')
    assert halves[1] == 'decode [###############               ] 1/2'
    assert halves[2] == f'decode [{"#" * 30}] 2/2\n'


@pytest.mark.parametrize('total', [0, 3])
def test_nothing_to_do(capsys, total):
    assert list(progress([], total, 'decode')) == []
    assert capsys.readouterr().err == ''
