import pytest
from http_files import file_server
from zoo_metafiles import FILE, HUB, NAME, OURS, URL, ours, recipe, write_metafiles
from zoo_metafiles import write_weights as put

from mmma.hub import index
from mmma.hub.files import checkpoint_path, fetch_model, verify_folder
from mmma.hub.index import find_model, list_models


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Root of a checkout with a zoo of its own, and with an empty cache."""
    root = write_metafiles(tmp_path / 'checkout', recipe('a', URL), ours())
    monkeypatch.setattr(index, 'config_folders', lambda: [root / 'configs'])
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    for name in ('MMMA_ZOO_URL', 'MMMA_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    return root


def test_a_path_stays(zoo, tmp_path, monkeypatch):
    path = tmp_path / NAME
    path.touch()
    assert checkpoint_path(str(path)) == path
    monkeypatch.chdir(tmp_path)
    assert str(checkpoint_path(NAME)) == NAME  # a file wins over a name


def test_the_checkout_comes_first(zoo, monkeypatch):
    path = put(zoo)
    assert checkpoint_path(NAME) == path
    monkeypatch.chdir(zoo)
    assert str(checkpoint_path(NAME)) == f'zoo/{NAME}/{FILE}'


def test_a_changed_file_of_the_checkout_is_not_used(zoo, tmp_path, monkeypatch, capsys):
    path = put(zoo, b'other bytes')
    (tmp_path / 'mirror').mkdir()
    (tmp_path / 'mirror' / FILE).write_bytes(OURS)
    with pytest.raises(ValueError, match=rf'{FILE}: has SHA-256 .*; not used'):
        checkpoint_path(NAME)
    monkeypatch.setenv('MMMA_ZOO_URL', str(tmp_path / 'mirror'))
    assert checkpoint_path(NAME).read_bytes() == OURS
    assert path.read_bytes() == b'other bytes'
    assert 'not used. Now asked' in capsys.readouterr().err


def test_without_an_address(zoo):
    with pytest.raises(FileNotFoundError, match=r'No place is known .* MMMA_ZOO_URL'):
        checkpoint_path(NAME)


def test_from_the_repository(zoo, tmp_path, monkeypatch):
    path = f'raw/v1.2.3/zoo/{NAME}/{FILE}'
    with file_server(files={path: OURS}) as server:
        monkeypatch.setattr(index, 'repository_url', lambda: server.url)
        monkeypatch.setattr(index, '__version__', '1.2.3')
        found = checkpoint_path(NAME)
        assert found == tmp_path / 'home/checkpoints' / FILE
        assert checkpoint_path(NAME, offline=True) == found
        assert checkpoint_path(f'{server.url}/{path}').read_bytes() == OURS


def test_offline(zoo):
    with pytest.raises(FileNotFoundError, match='not asked, for this is offline'):
        checkpoint_path('net_2022-0123abcd', offline=True)


@pytest.mark.parametrize(
    'ckpt', ['a/best.pth', '../x', 'best.pth', 'best.safetensors', '..\\x', '/etc/x']
)
def test_paths_to_nothing(zoo, ckpt, tmp_path, monkeypatch):
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*: no such file'):
        checkpoint_path(ckpt)


@pytest.mark.parametrize('name', ['work_dir', 'a/b'])
def test_a_folder(zoo, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=f'{name} is a folder: name a file in'):
        checkpoint_path(name)


def test_a_folder_called_like_a_model(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()
    path = put(zoo)
    assert checkpoint_path(NAME) == path.relative_to(tmp_path)


def test_neither_path_nor_name(zoo):
    with pytest.raises(
        ValueError,
        match=rf"^checkpoint tiny: no such file, and no model 'tiny' in the zoo\. "
        rf'Near: {NAME}\. All names: download\.py --list$',
    ):
        checkpoint_path('tiny')


def test_into_another_folder(zoo, tmp_path, capsys):
    put(zoo)
    dest = tmp_path / 'dest'
    assert fetch_model(find_model(NAME), dest) == dest / FILE
    assert (dest / FILE).read_bytes() == OURS
    assert 'copying' in capsys.readouterr().err
    assert not (tmp_path / 'home').exists()


def test_into_another_folder_from_the_cache(zoo, tmp_path):
    cached = tmp_path / 'home/checkpoints' / FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(OURS)
    assert fetch_model(find_model(NAME), tmp_path / 'dest', offline=True).is_file()
    assert fetch_model(find_model(NAME), cached.parent, offline=True) == cached
    cached.write_bytes(b'damaged')
    with pytest.raises(FileNotFoundError, match='No place is known'):
        fetch_model(find_model(NAME), cached.parent)


def test_verify(tmp_path):
    root = write_metafiles(tmp_path, recipe('a', URL), recipe('b', HUB), ours())
    folder = tmp_path / 'cache'
    contents = {
        FILE: OURS,
        'a-b-model.safetensors': b'1',
        'net_2022-0123abcd.pth': b'2',
        'net_2022-0123abcd.pth.bad-hash': b'3',
        'other.pth': b'4',
        'other.pth.part': b'5',
        'other.pth.part.json': b'6',
        'other.pth.lock': b'',
        f'sub/{FILE}': OURS[:-1],
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    found = {
        str(c.path.relative_to(folder)): (c.state, c.why)
        for c in verify_folder(folder, list_models(root))
    }
    digest = 'd4735e3a265e16ee'  # SHA-256 of b'2' starts with it
    assert found == {
        FILE: ('ok', ''),
        'a-b-model.safetensors': ('unknown', 'the index has no hash of it'),
        'net_2022-0123abcd.pth': (
            'damaged',
            f'has SHA-256 {digest}..., expected 0123abcd...',
        ),
        'net_2022-0123abcd.pth.bad-hash': (
            'damaged',
            'put aside, never used: delete it',
        ),
        'other.pth': ('unknown', 'not in the index'),
        'other.pth.part': ('unknown', 'a download that was interrupted'),
        f'sub/{FILE}': ('damaged', 'has 10 bytes, expected 11'),
    }
    with pytest.raises(FileNotFoundError, match='x: no such folder to verify'):
        next(verify_folder(tmp_path / 'x', []))
