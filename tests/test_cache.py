from pathlib import Path

from mmma.cache import cache_home


def test_the_user_may_choose(monkeypatch):
    monkeypatch.setenv('MMMA_HOME', '/a')
    assert cache_home() == Path('/a')
    monkeypatch.setenv('MMMA_HOME', '~/a')
    assert cache_home() == Path.home() / 'a'


def test_default(monkeypatch):
    monkeypatch.delenv('MMMA_HOME')
    assert cache_home() == Path.home() / '.cache/mmma'
