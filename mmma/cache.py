"""Where this toolbox keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_home() -> Path:
    """``$MMMA_HOME``, or ~/.cache/mmma; any folder in it may be deleted."""
    home = os.environ.get('MMMA_HOME')
    return Path(home or '~/.cache/mmma').expanduser()
