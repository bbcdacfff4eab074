import sys

from mmma.cli import main

sys.exit(main('annotate'))
