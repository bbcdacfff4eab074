import sys

from mmma.cli import main

sys.exit(main('build_model_zoo'))
