"""What pages get from the code while they are read, and the reader of notebooks.

``<!-- made: NAME WORD ... -->`` in a page stands for what a function here returns.
"""

import importlib
import inspect
import io
import json
import os
import pkgutil
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path

from myst_parser.parsers.sphinx_ import MystParser

REPO = Path(__file__).resolve().parents[2]
ARRAY = r'~numpy\.ndarray\[tuple\[[^]]+\], ~numpy\.dtype\[([~\w.]+)\]\]'
LIKE = r'~numpy\._typing\S+ \| .+? \| bytes \| str \| ~numpy\S+\[.+?\]'


def fenced(kind, text):
    marks = '`' * (1 + max(map(len, ['``', *re.findall('`+', text)])))
    return f'{marks}{kind}\n{text.rstrip()}\n{marks}\n\n'


def modules(*names):
    """Docstrings of modules, or of packages and of their modules."""
    text = ''
    for name in names:
        path = getattr(importlib.import_module(name), '__path__', ())
        inside = [m.name for m in pkgutil.iter_modules(path, f'{name}.') if not m.ispkg]
        for own in (name, *inside):
            text += f'## {own}\n\n' * (own in inside or len(names) > 1)
            text += fenced('{eval-rst}', f'.. automodule:: {own}')
    return text


def commands():
    """``--help`` of every command, in the groups of ``mmma --help``."""
    from mmma import cli
    from mmma.taxonomy import own_table

    os.environ['COLUMNS'] = '88'
    text, left = '', [*cli.COMMANDS]
    for title, listed in (*own_table('commands').items(), ('more', cli.COMMANDS)):
        own = [left.pop(left.index(name)) for name in listed if name in left]
        text += f'## {title.capitalize()}\n\n' * bool(own)
        for name in own:
            with redirect_stdout(io.StringIO()) as told, suppress(SystemExit):
                cli._parsed(name, ['--help'])
            text += f'### {name}\n\n{fenced("text", told.getvalue())}'
    return text


def registries():
    """Names that a config may give as type, by registry, and what each is."""
    from mmma import registry

    text = ''
    for kind, own in vars(registry).items():
        if getattr(own, 'scope', '') == 'mmma':
            own.import_from_location()
            text += f'\n## {kind}\n\n| type | is |\n|:--|:--|\n'
            for name, part in sorted(own.module_dict.items()):
                first = (inspect.getdoc(part) or '').partition('\n\n')[0]
                place = f'{part.__module__}.{part.__name__}'
                told = re.sub(r'\s+', ' ', re.sub(r':\w+:`', '`', first))
                text += f'| {{py:obj}}`{name} <{place}>` | {told} |\n'
    return text


class Notebook(MystParser):
    supported = ('notebook',)

    def parse(self, inputstring, document):
        """Cells, and what they printed and drew; nothing is run."""
        name = Path(document['source']).name
        text, own = '', f'{{download}}`{name} <{name}>`\n\n'
        for cell in json.loads(inputstring)['cells']:
            code, source = cell['cell_type'] == 'code', ''.join(cell['source'])
            text += fenced('python', source) if code else f'{source}\n\n'
            text += '' if own in text else own
            for output in cell.get('outputs', ()):
                data = output.get('data', {'text/plain': output.get('text', '')})
                told = fenced('text', ''.join(data.get('text/plain', '')))
                drawn = ''.join(data.get('image/png', '')).replace('\n', '')
                drawn = drawn and f'![what is drawn](data:image/png;base64,{drawn})\n\n'
                text += drawn or told
        super().parse(text, document)


def fill(app, page, content):
    made = r'(?m)^<!-- made: (\w+) ?(.*) -->$'
    content[0] = re.sub(made, lambda m: globals()[m[1]](*m[2].split()), content[0])


def tidy(app, what, name, obj, options, lines):
    """Keep paragraphs whole: of constants with a colon, and of sources."""
    text = '\n' * (what in ('attribute', 'data')) + '\n'.join(lines)
    source = r'(?m)^Source: (?:.+\n?)+'
    lines[:] = re.sub(source, lambda m: re.sub('\n +', '\n', m[0]), text).split('\n')


def shorten(app, what, name, obj, options, *texts):
    """Types of arrays as the code names them."""
    plain = (text and re.sub(ARRAY, r'NDArray[\1]', text) for text in texts)
    return tuple(text and re.sub(LIKE, 'ArrayLike', text) for text in plain)


def setup(app):
    app.srcdir = type(app.srcdir)(REPO)
    app.add_source_parser(Notebook)
    app.connect('source-read', fill)
    app.connect('autodoc-process-docstring', tidy, priority=400)
    app.connect('autodoc-process-signature', shorten)
    app.connect('env-get-outdated', lambda *_: ['docs/commands', 'docs/registries'])
    return {'parallel_read_safe': True}
