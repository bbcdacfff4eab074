"""Fixtures: where real reference files lie, and small roots made on the spot."""

import gc
import os
from pathlib import Path

import pytest
from det_roots import make_det_root
from video_files import make_video_root

REPO = Path(__file__).resolve().parents[1]


def pytest_collection_finish():
    """Take torch and all tests out of the sight of the collector: it looks often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory):
    """Downloads and cached features of tests stay out of the user's home."""
    os.environ['MMMA_HOME'] = str(tmp_path_factory.mktemp('home'))


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder with real annotation lists and clips; tests that need it skip without."""
    folder = Path(os.environ.get('MMMA_SHARED_DATA', REPO.parent / 'shared' / 'data'))
    if not folder.is_dir():
        pytest.skip('no real reference data (set MMMA_SHARED_DATA)')
    return folder


@pytest.fixture(scope='session')
def video_root(tmp_path_factory) -> Path:
    """A data root of four domains with real videos; read it, change a copy."""
    return make_video_root(tmp_path_factory.mktemp('video_root'))


@pytest.fixture(scope='session')
def det_root(tmp_path_factory) -> Path:
    """A data root of untrimmed videos and skeletons; read it, change a copy."""
    return make_det_root(tmp_path_factory.mktemp('det_root'))
