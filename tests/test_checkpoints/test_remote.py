from pathlib import Path

import pytest

from mmma.checkpoints.remote import (
    RemoteFile,
    file_name,
    hash_in_name,
    is_offline,
    local_path,
    mirror_places,
    remote_file,
    shown_url,
)

HUB = 'https://huggingface.co'


@pytest.mark.parametrize(
    ('url', 'name'),
    [
        ('https://a.org/b/c-0123abcd.pth', 'c-0123abcd.pth'),
        ('https://a.org/b/c.pth?token=x#y', 'c.pth'),
        ('https://a.org/b/two%20words.pth', 'two words.pth'),
        (f'{HUB}/a/small/resolve/main/model.bin', 'a-small-model.bin'),
        (f'{HUB}/a/large/resolve/0123/sub/model.bin', 'a-large-model.bin'),
    ],
)
def test_file_names(url, name):
    assert file_name(url) == name
    assert remote_file(url).name == name


def test_what_a_name_says_of_the_hash():
    assert remote_file('https://a.org/c-0123abcd.pth').sha256 == '0123abcd'
    assert remote_file('https://a.org/c-0123abcd.pth', 'ff').sha256 == 'ff'
    assert hash_in_name('model_0123abcd.safetensors') == '0123abcd'
    assert hash_in_name('model-20240101x.pth') == ''


@pytest.mark.parametrize(
    'url',
    [
        'https://a.org/..',
        'https://a.org/',
        'https://a.org/%2e%2e%2Fpasswd',
        'https://a.org/b%2Fc.pth',
        'https://a.org/..%5Cc.pth',
        'https://a.org/b\\c.pth',
        'https://a.org/c:d.pth',
        'https://a.org/.bashrc',
        'https://a.org/a%00.pth',
        f'{HUB}/a/%2e%2e%2f/resolve/main/model.bin',
    ],
)
def test_names_that_lead_elsewhere(url):
    with pytest.raises(ValueError, match=r'names a file .* no slash.*not fetched'):
        remote_file(url)


@pytest.mark.parametrize('folder', ['..', 'a/b', '/etc', 'a\\b'])
def test_folders_that_lead_elsewhere(folder):
    with pytest.raises(ValueError, match=r'the model zoo names a file'):
        RemoteFile('a.pth', folder=folder)


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        ('https://me:secret@a.org:8/b.pth', 'https://a.org:8/b.pth'),
        ('https://a.org/b.pth?sig=secret#c', 'https://a.org/b.pth?...'),
        ('file:///a/b', 'file:///a/b'),
        ('/a/b', '/a/b'),
    ],
)
def test_secrets_are_not_shown(url, shown):
    assert shown_url(url) == shown


def test_what_is_on_this_machine():
    assert local_path('/a/b') == Path('/a/b')
    assert local_path('~/b') == Path.home() / 'b'
    assert local_path('file:///a/two%20words') == Path('/a/two words')
    assert local_path('https://a.org/b') is None


@pytest.mark.parametrize('place', ['ftp://me:pw@a.org/b', 'file://other/b', 's3://a/b'])
def test_other_kinds_of_urls(place):
    with pytest.raises(ValueError, match=r'(a.org|other|a)/b: use http://.* folder'):
        local_path(place)


def test_places_of_a_mirror(monkeypatch, tmp_path):
    file = RemoteFile('a b.pth', folder='model')
    monkeypatch.delenv('MMMA_ZOO_URL', raising=False)
    assert mirror_places(file) == []
    monkeypatch.setenv('MMMA_ZOO_URL', 'https://me:pw@a.org/zoo/?sig=1')
    assert mirror_places(file) == [
        'https://me:pw@a.org/zoo/a%20b.pth?sig=1',
        'https://me:pw@a.org/zoo/model/a%20b.pth?sig=1',
    ]
    monkeypatch.setenv('MMMA_ZOO_URL', tmp_path.as_uri())
    assert mirror_places(file) == [str(tmp_path / 'a b.pth')]
    (tmp_path / 'model').mkdir()
    (tmp_path / 'model/a b.pth').touch()
    assert mirror_places(file) == [str(tmp_path / 'model/a b.pth')]


def test_a_mirror_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path / 'x'))
    with pytest.raises(FileNotFoundError, match=r'MMMA_ZOO_URL is .*/x: no such folde'):
        mirror_places(RemoteFile('a.pth'))


@pytest.mark.parametrize(
    ('value', 'offline'),
    [('1', True), ('true', True), ('', False), ('0', False), ('False', False)],
)
def test_offline(monkeypatch, value, offline):
    monkeypatch.setenv('MMMA_OFFLINE', value)
    assert is_offline() == offline
