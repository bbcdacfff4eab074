"""Fixtures: where real reference files lie, and small roots made on the spot."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder with real annotation lists and clips; tests that need it skip without."""
    folder = Path(
        os.environ.get('MMMA_SHARED_DATA', REPO.parent / 'shared' / 'data')
    )
    if not folder.is_dir():
        pytest.skip('no real reference data (set MMMA_SHARED_DATA)')
    return folder
