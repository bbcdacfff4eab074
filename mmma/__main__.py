"""``python -m mmma train ...``: the tools, without a checkout."""

import os
import sys

from mmma.cli import entry

if __name__ == '__main__':
    # Python lets a module of the current folder stand for any package that is missing.
    if not os.path.isdir('mmma'):
        sys.path[:] = [p for p in sys.path if p not in ('', os.getcwd())]
    sys.exit(entry())
