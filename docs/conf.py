"""The site: ``make docs``, or ``sphinx-build docs docs/_build``."""

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / 'docs/_ext')]
from mmma import __version__ as release  # noqa: E402, F401

project = 'mmma'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'made']
# Sphinx reads the repository (_ext/made.py), so that links are those of a code host.
PAGES = 'README.md model_zoo.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs'
exclude_patterns = [p.name for p in REPO.iterdir() if p.name not in PAGES.split()]
exclude_patterns += ['docs/_*', '**/.*']
root_doc = 'docs/index'
source_suffix = {'.md': 'markdown', '.ipynb': 'notebook'}
myst_heading_anchors = 4
nitpicky, nitpick_ignore_regex = True, [('py:(class|obj)', '.*')]
suppress_warnings = ['ref.python']  # a name that two modules have
autodoc_default_options = {'members': True}
autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
python_maximum_signature_line_length = 150
napoleon_use_ivar = True
html_theme = 'furo'
html_title = project
html_extra_path = ['_extra']
html_copy_source = html_show_copyright = html_use_index = False
