"""A process that has imported everything, and inputs for every command."""

import pytest
from faults.commands import Warm, make_given


@pytest.fixture(scope='session')
def warm(tmp_path_factory):
    folder = tmp_path_factory.mktemp('warm')
    try:
        process = Warm(folder, mounts=True)
    except OSError:  # no view of the file system of its own here
        process = Warm(folder)
    yield process
    process.close()


@pytest.fixture(scope='session')
def given(warm, tmp_path_factory):
    return make_given(tmp_path_factory.mktemp('given'), warm)
