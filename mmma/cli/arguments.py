"""Arguments that several commands share."""

import argparse
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mmma.files import try_out
from mmma.foreign import finite
from mmma.protocols import PROTOCOLS

Options = TypeVar('Options')
CKPT_HELP = 'path, work dir, URL, or name in the model zoo (download.py --list)'
_FLAG_OF = {'trust': 'trust-checkpoint'}
_FLAGS = (
    'protocol', 'source', 'domain', 'target', 'shots', 'runs', 'strict_shots', 'seed',
)  # fmt: skip
_WRITTEN = ('out', 'dump', 'json', 'plot', 'confusions', 'sheet', 'reliability')

SHARED = {
    'config': f"""
config: config file, as configs/recog/videomae_mma82_indomain.py
# protocol (what is not given: the config says)
--protocol {'|'.join(PROTOCOLS)}
--source D|rest: all but indomain: domain that trains (default: the root's); rest: all
  but the one --target
--domain all|D: indomain: domain to train and test on
--target D ...: all but indomain: domains to test on (default: all but the source)
--shots K ... (int): fewshot: supports per class
--seed S (int)
#
--data-root DIR: default: data/mma82
--cfg-options K=V ... = []: change config values; +K=V adds a key""",
    'annotation': """
--label-space NAME|FILE: whose labels alone there may be, and their groups (default:
  what is there)
--threshold T (finite): lowest score of events that have one (default: all are taken)
--table FILE (path): CSV with the columns video, and subject, condition or both""",
    'label_space': """
--label-space NAME|FILE: mma82, ma52, or a JSON file (docs/data_format.md; default: that
  of the root of --gt, else mma82)""",
    'views': """
--views V (int): sets of times per clip, whose scores are averaged; memory grows with
  them: --cfg-options test_dataloader.batch_size=1
--crops {1,3} (int): of RGB: the middle of the picture, or three crops that cover it""",
    'preset': """
--as/--preset {mac}: as the MAC challenge ranks: --class-set union
  --body-scores top1""",
    'tasks': '--tasks {rec,det} ...: default: those of the root',
    'workers': '--workers N (int): processes (default: one per core)',
}
"""Arguments of several commands, as of :func:`declared`."""
_TYPES = {'int': int, 'float': float, 'finite': finite, 'path': Path, 'out': try_out}
_TYPES['folder'] = partial(try_out, folder=True)
UNSET = {k: {'default': argparse.SUPPRESS} for k in ('class_set', 'body_scores')}
"""Of options of recognition, where ``--as`` must see what was not given."""
_ENTRY = re.compile(
    r'(\S+?)'  # --a/--b, then [{x,y} ...] or a METAVAR, then (int) = 5, required
    r'(?: (\[)?(?:\{(\S+)}|([^\s[({=][^\s\]]*?(?: [A-Z])?))( \.\.\.)?]?)?'
    r'(?: \((\w+)\))?(?: = (\S+?))?(, required)?'
)


def declared(
    text: str, kind: type | str | None = None, **changes: dict[str, Any]
) -> Callable[[argparse._ActionsContainer], None]:
    """Function that adds the arguments of a text to a parser, as usage shows them.

    ``--name METAVAR (type) = default: help``, where ``{a,b}`` is a choice, ``X ...``
    one or more, ``[X]`` may be left out, and a flag has none of these;
    ``--name/attribute`` tells where the value goes. ``.a .b`` are fields of a record,
    ``*name`` those of ``SHARED``, ``# title`` begins a group, ``#!`` one of choices.

    Args:
        text: An entry a line; lines that go on are indented.
        kind: The record, as of :func:`add_options`, like ``changes``; or where one is
            that imports much, ``module:name``.
    """

    def add_arguments(parser: argparse._ActionsContainer) -> None:
        into, own = parser, resolve_name(kind) if isinstance(kind, str) else kind
        for lines in re.split(r'\n(?! )', inspect.cleandoc(text)):
            mark, entry = lines[0], ' '.join(lines.split())
            if mark == '#':
                into = parser.add_argument_group(entry[2:]) if entry[2:] else parser
                if entry == '#!':
                    into = parser.add_mutually_exclusive_group()
            elif mark == '*':
                declared(SHARED[entry[1:]])(into)
            elif mark == '.':
                add_options(into, own, *entry.replace('.', '').split(), **changes)
            else:
                _add_argument(into, *entry.partition(': ')[::2])

    return add_arguments


def arguments_of(command: ModuleType) -> Callable[[argparse._ActionsContainer], None]:
    """Function that adds the arguments of a command, by its module, to a parser."""
    return getattr(command, 'add_arguments', None) or declared(command.ARGUMENTS)


def _add_argument(into: argparse._ActionsContainer, head: str, told: str) -> None:
    found = _ENTRY.fullmatch(head).groups()
    names, optional, choices, metavar, several, kind, default, required = found
    flags = [name for name in names.split('/') if name[0] == '-']
    attribute = names.split('/')[-1].lstrip('-').replace('-', '_')
    keywords: dict[str, Any] = {'help': told or None}
    if choices or metavar:
        own = _TYPES[kind] if kind else str
        keywords |= {'metavar': metavar, 'type': own}
        keywords['choices'] = choices and [*map(own, choices.split(','))]
        if optional or several:
            keywords['nargs'] = ('*' if several else '?') if optional else '+'
            keywords['const'] = '' if flags and optional else None
    elif flags:
        away = len(flags) < names.count('/') + 1  # --no-cache/cache
        keywords['action'] = 'store_false' if away else 'store_true'
    if default:
        plain = None if default == 'None' else default
        keywords['default'] = default[1:-1].split() if default[0] == '[' else plain
    if flags:
        keywords |= {'dest': attribute, 'required': bool(required)}
    into.add_argument(*(flags or [attribute]), **keywords)


def apply_preset(args: argparse.Namespace) -> None:
    """Set what ``--as mac`` stands for; refuse another ``--class-set`` beside it."""
    from mmma.evaluation.recognition import as_mac

    vars(args).update(as_mac(vars(args)) if args.preset else {})


def protocol_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The protocol flags that the user gave; None where not given."""
    return {flag: getattr(args, flag, None) for flag in _FLAGS}


def run_arguments(args: argparse.Namespace) -> tuple[Any, ...]:
    """Shared arguments of ``open_run`` and ``load_config``, in order."""
    return args.config, protocol_flags(args), args.data_root, args.cfg_options


def add_options(
    parser: argparse._ActionsContainer, kind: type, *names: str, **changes: Any
) -> None:
    """Add a flag for each field of a dataclass of options, as its docstring tells.

    ``name (METAVAR): help`` stands there under ``Attributes:``. A ``Literal`` is a
    choice, a tuple takes several values, and a bool that is true by default becomes
    ``--no-NAME``; a field without a default must be given. A text that begins with a
    capital is for readers of the record, and no help.

    Args:
        parser: A parser, or a group of its arguments.
        kind: The dataclass; :func:`options_of` makes one of what was given.
        *names: Fields in the order of ``--help``; by default all, in their order.
        **changes: ``field=dict(...)``: keywords of ``add_argument`` instead of these,
            and ``flag``, several parted by a space.
    """
    known, types = {field.name: field for field in fields(kind)}, get_type_hints(kind)
    told = inspect.getdoc(kind).partition('Attributes:\n')[2]
    entries = re.findall(
        r'^    (\w+)(?: \((.+)\))?: (.+(?:\n     +.+)*)', told, re.MULTILINE
    )
    texts = {name: (metavar, ' '.join(text.split())) for name, metavar, text in entries}
    for name in names or known:
        default, hint = known[name].default, types[name]
        metavar, text = texts[name]
        told = None if re.match('[A-Z][a-z]', text) else text.replace('%', '%%')
        keywords = {'dest': name, 'default': default, 'help': told}
        if get_origin(hint) in (Union, UnionType):  # None is what was not given
            hint = get_args(hint)[0]
        flag = f'--no_{name}' if default is True else f'--{_FLAG_OF.get(name, name)}'
        if hint is bool:
            keywords['action'] = 'store_false' if default else 'store_true'
        elif get_origin(hint) is Literal:
            keywords |= {'metavar': metavar or None, 'choices': get_args(hint)}
        elif get_origin(hint) is tuple:
            keywords |= {'metavar': metavar, 'type': get_args(hint)[0], 'nargs': '+'}
        else:
            keywords |= {'metavar': metavar or None, 'type': hint}
        if default is MISSING:
            keywords |= {'default': None, 'required': True}
        keywords = {'flag': flag.replace('_', '-'), **keywords, **changes.get(name, {})}
        parser.add_argument(*keywords.pop('flag').split(), **keywords)


def keep_inputs(args: argparse.Namespace) -> None:
    """Refuse to write, but by --force, what is read or is a table of the data root."""
    from mmma.data.root import DET_FILE, INFO_FILE, MISSING_FILE, REC_FILE

    given = {name: value for name, value in vars(args).items() if value is not None}
    forced = given.get('force')
    written = [Path(str(given.pop(n))) for n in _WRITTEN if n in given and not forced]
    lists = (own if type(own) is list else [own] for own in given.values())
    texts = {str(v) for own in lists for v in own if isinstance(v, (str, Path))}
    texts |= {text.partition('=')[2] for text in texts}  # NAME=FILE
    tables = INFO_FILE, REC_FILE, DET_FILE, MISSING_FILE
    read = {*texts, *(f'{root}/{name}' for root in texts - {''} for name in tables)}
    for path in filter(Path.is_file, written):  # texts may be too long for a path
        if any(os.path.isfile(file) and path.samefile(file) for file in read):
            raise ValueError(f'{path} is one of the inputs: write under another name')


def options_of(kind: type[Options], args: argparse.Namespace, **values: Any) -> Options:
    """Options of an engine, from the arguments that have the names of its fields.

    Several values become a tuple; ``values`` are of fields that are no arguments, or
    not as they were given.
    """
    known = [field.name for field in fields(kind)]
    given = {name: getattr(args, name) for name in known if hasattr(args, name)}
    lists = {k: tuple(v) for k, v in given.items() if isinstance(v, list)}
    return kind(**{**given, **lists, **values})


def check_workers(workers: int | None) -> None:
    """Refuse a negative number of ``--workers``."""
    if workers is not None and workers < 0:
        raise ValueError(f'--workers {workers}: must be 0 or more')


def find_recipe(name: str) -> str:
    """Find a config by its name, or by that of its recipe, as ``videomae-s``."""
    from mmma.config import find_config

    try:
        return str(find_config(f'recog/{name}_mma82_indomain', typed=False))
    except FileNotFoundError:
        return str(find_config(name))
