"""``emotion.py associate|ablate|fuse ROOT``: micro-actions and emotions."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from mmma.cli.arguments import declared

HELP = 'Relate micro-actions to the emotions of videos; needs no torch.'

_ROOT = """
root ROOT (path): data root whose videos have an emotion
--task {det,rec}: videos of det.json, or sources of the clips of rec.csv (default: those
  that have an emotion)
--pred FILE (path): predictions (default: the truth)
--out DIR (folder): for results.json, tables and pictures
--json: print one JSON object, percent unrounded"""
_ASSOCIATE = """Find the five micro-actions that tell most of each emotion."""
_ABLATE = (
    """Tell emotions from all micro-actions, without the five of each, from these."""
)
_FUSE = """Tell emotions from micro-actions, from faces, and from both."""
Study = tuple[str, str, Callable[[argparse.Namespace], dict[str, Any]]]


def associate(args: argparse.Namespace) -> dict[str, Any]:
    """Associate micro-actions with emotions."""
    raise ValueError('associate is not there yet')


def ablate(args: argparse.Namespace) -> dict[str, Any]:
    """Leave micro-actions out."""
    raise ValueError('ablate is not there yet')


def fuse(args: argparse.Namespace) -> dict[str, Any]:
    """Fuse micro-actions with faces."""
    raise ValueError('fuse is not there yet')


_STUDIES: Mapping[str, Study] = {
    'associate': (_ASSOCIATE, '', associate),
    'ablate': (_ABLATE, '', ablate),
    'fuse': (_FUSE, '', fuse),
}
"""Sub-command -> its help, its arguments beside those of all, what runs it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per study."""
    studies = parser.add_subparsers(dest='study', metavar='STUDY', required=True)
    for name, (told, arguments, _) in _STUDIES.items():
        study = studies.add_parser(
            name,
            help=told.splitlines()[0],
            description=told,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        declared(_ROOT + arguments)(study)


def run(args: argparse.Namespace) -> int:
    """Run a study."""
    _STUDIES[args.study][2](args)
    return 0
