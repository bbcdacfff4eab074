"""Results of made-up models on a small root."""

import pytest
from result_files import make_rec_root


@pytest.fixture(scope='session')
def rec_root(tmp_path_factory):
    """A simulated root of 24 val and 24 test clips per domain; read it only."""
    return make_rec_root(tmp_path_factory.mktemp('rec_root'))
