"""Commands of the pages of docs/."""

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[1] / 'docs'


def commands(page, heading=''):
    """Commands ``python tools/NAME.py ...`` of a chapter of a page: name, arguments."""
    text = (DOCS / page).read_text(encoding='utf-8')
    if heading:
        (text,) = re.findall(rf'^## {heading}\n(.*?)(?=^## |\Z)', text, re.M | re.S)
    blocks = ''.join(re.findall(r'^```bash\n(.*?)^```', text, re.M | re.S))
    for line in blocks.replace('\\\n', ' ').splitlines():
        python, tool, *argv = shlex.split(line, comments=True) or ('pip', '')
        name = tool.removeprefix('tools/').removesuffix('.py')
        if python != 'pip':
            assert (python, f'tools/{name}.py') == ('python', tool)
            yield name, argv
