"""Converters of published data sets, and of annotations, to data roots, and back."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmma.convert.annotations import convert_events
from mmma.convert.detection import convert_detection, export_detection
from mmma.convert.events import FORMATS
from mmma.convert.ma52 import convert_ma52, convert_mma52
from mmma.convert.mma82 import convert_mma82
from mmma.convert.pyskl import convert_pyskl
from mmma.convert.target import Conversion, Options
from mmma.data.root import DataRoot
from mmma.files import is_filled, made_whole, only_writer
from mmma.taxonomy import check_choice

__all__ = ['CONVERTERS', 'Conversion', 'Options', 'convert', 'export']

CONVERTERS: dict[str, Callable[[Path, Path, Options], Conversion]] = {
    **{'ma52': convert_ma52, 'mma52': convert_mma52, 'mma82': convert_mma82},
    **{kind: partial(convert_detection, kind) for kind in ('opentad', 'pointtad')},
    'pyskl': convert_pyskl,
    **{kind: partial(convert_events, kind) for kind in FORMATS},
}


def convert(
    kind: str, source: Path, out: Path, options: Options | None = None
) -> Conversion:
    """Convert a published data set, or annotations of a tool, by one of ``CONVERTERS``.

    Raises:
        FileNotFoundError: No such folder, or it lacks the tables.
        ValueError: What is in tables, mapping or options, or where it is written to.
    """
    check_choice('format', kind, tuple(CONVERTERS))
    if options and options.sources and kind != 'mma82':
        raise ValueError(f'--sources is for mma82, not for {kind}: leave it out')
    if options and options.label_space and kind in ('ma52', 'mma52', 'mma82'):
        raise ValueError(f'--label-space is for annotation tools, not for {kind}')
    out = Path(out)
    with made_whole(out):
        return CONVERTERS[kind](Path(source), out, options or Options())


def export(kind: str, root: Path, out: Path, force: bool = False) -> list[str]:
    """Write a root's detection table as ``opentad`` or ``pointtad``, and say so.

    Raises:
        FileNotFoundError: No such root, or it has no detection table.
        ValueError: Another kind, a bad table, or a folder that is not empty.
    """
    check_choice('format to export', kind, ('opentad', 'pointtad'))
    out = Path(out)
    if out.exists() and (not out.is_dir() or is_filled(out)) and not force:
        raise ValueError(f'{out} is not empty: give --force to write into it')
    with only_writer(out):
        return export_detection(kind, DataRoot(root), out)
