"""``python -m mmma train ...``: the tools, without a checkout."""

import os
import sys

if __name__ == '__main__':
    # Python lets any module of the current folder stand for a package of that name.
    if not os.path.isdir('mmma'):
        sys.path[:] = [path for path in sys.path if path not in ('', os.getcwd())]
        os.environ['PYTHONSAFEPATH'] = '1'  # for processes of this one
    from mmma.cli import entry

    sys.exit(entry())
