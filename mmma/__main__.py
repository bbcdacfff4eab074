"""``python -m mmma train ...``: the tools, without a checkout."""

import sys

from mmma.cli import entry

if __name__ == '__main__':
    sys.exit(entry())
