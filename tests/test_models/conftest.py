"""Building of models in the scope that every config sets."""

import pytest
import torch
from mmengine.registry import DefaultScope

import mmma.registry  # noqa: F401  (repairs MMAction2 before tests import it)


@pytest.fixture(autouse=True)
def _scope():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmma'):
        yield
