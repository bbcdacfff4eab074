"""The error of broken files."""

import pickle

from mmma.datasets.video.errors import BrokenVideoError


def test_it_crosses_processes():
    error = pickle.loads(pickle.dumps(BrokenVideoError('a.mp4', 'zero bytes')))
    assert (error.path, error.reason) == ('a.mp4', 'zero bytes')
    assert str(error) == 'a.mp4: zero bytes'
    assert isinstance(error, ValueError)
