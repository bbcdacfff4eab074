import pytest

from mmma.checkpoints import file_sha256
from mmma.checkpoints.hashing import mismatch

ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'


@pytest.fixture
def abc(tmp_path):
    path = tmp_path / 'abc'
    path.write_bytes(b'abc')
    return path


def test_hash(abc):
    assert file_sha256(abc) == ABC  # the example of FIPS 180-4


@pytest.mark.parametrize(
    ('sha256', 'size'), [('', None), ('', 3), (ABC, 3), (ABC[:8], None), ('BA78', 3)]
)
def test_as_it_should_be(abc, sha256, size):
    assert mismatch(abc, sha256, size) == ''


def test_what_is_wrong(abc):
    assert mismatch(abc, ABC, 4) == 'has 3 bytes, expected 4'
    wrong = f'{ABC[:-1]}e'
    found = mismatch(abc, wrong)
    assert found == f'has SHA-256 {ABC[:16]}..., expected {ABC[:16]}...'


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (b'\n<!DOCTYPE html>', ': it is a web page'),
        (b'version https://git-lfs.github.com/spec/v1', ': it is a Git LFS pointer'),
    ],
)
def test_what_it_is_instead(abc, content, told):
    abc.write_bytes(content)
    assert mismatch(abc, ABC).endswith(told)
    assert mismatch(abc, '', 9).endswith(told)
