"""Features on disk, so that a checkpoint meets each clip once.

``features/<fingerprint>/<domain>_<subset>/`` in ``$MMMA_HOME`` or ~/.cache/mmma holds
one ``.npz`` per few hundred clips, never changed once written: what an interrupted run
wrote is kept, and concurrent runs cannot harm each other. The fingerprint is of all
that features depend on, but the files of the clips; each clip has a stamp of its own.
Any of the folders may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log

from mmma.cache import cache_home
from mmma.layout.paths import atomic_write

_FORMAT = 1  # of the files; a change makes all of them unknown
_DAMAGE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


class Row(NamedTuple):
    """What a model sees of one clip: (views, D), (K,), and (B,) if it has bodies."""

    features: np.ndarray
    scores: np.ndarray
    body_scores: np.ndarray | None


def features_folder(origin: Mapping[str, Any], part: str) -> Path:
    """Where features lie.

    Args:
        origin: What they depend on: plain types and configs.
        part: Name of the domain and subset.
    """
    text = json.dumps({**origin, 'format': _FORMAT}, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
    return cache_home() / 'features' / fingerprint / part


class FeatureCache:
    """Rows of one domain and subset on disk.

    Args:
        folder: Where they lie; made when the first are written.
        stamps: Of :func:`file_stamps`; rows of a file that has changed are not used.
    """

    def __init__(self, folder: Path, stamps: Mapping[str, int]) -> None:
        self.folder = folder
        self.stamps = stamps

    def read(self) -> dict[str, Row]:
        """All rows that are valid; damaged files are deleted, with a notice."""
        rows: dict[str, Row] = {}
        for file in sorted(self.folder.glob('*.npz')):
            try:
                rows.update(self._read(file))
            except _DAMAGE as error:
                print_log(
                    f'{file} is damaged ({error}): its features are extracted again',
                    'current',
                    logging.WARNING,
                )
                with contextlib.suppress(OSError):
                    file.unlink()
        return rows

    def _read(self, file: Path) -> list[tuple[str, Row]]:
        with np.load(file, allow_pickle=False) as arrays:
            content = {key: arrays[key] for key in arrays.files}
        columns = [content[key] for key in ('features', 'scores')]
        names, stamps = content['names'].tolist(), content['stamps'].tolist()
        bodies = content.get('body_scores', [None] * len(names))
        rows = zip(names, stamps, *columns, bodies, strict=True)
        return [
            (name, Row(*row))
            for name, stamp, *row in rows
            if self.stamps.get(name) == stamp
        ]

    def add(self, rows: Mapping[str, Row]) -> None:
        """Write rows; where that fails, say so and go on."""
        if not rows:
            return
        names = sorted(rows)
        features, scores, bodies = zip(*(rows[n] for n in names), strict=True)
        arrays = {
            'names': np.array(names, dtype=np.str_),
            'stamps': np.array([self.stamps[n] for n in names], np.int64),
            'features': np.stack(features),
            'scores': np.stack(scores),
        }
        if all(body is not None for body in bodies):
            arrays['body_scores'] = np.stack(bodies)
        # Not of the content: an archive holds the time at which it was written.
        identity = arrays['names'].tobytes() + arrays['stamps'].tobytes()
        file = self.folder / f'{hashlib.sha256(identity).hexdigest()[:32]}.npz'
        try:
            with atomic_write(file, 'wb') as draft:
                np.savez(draft, **arrays)
        except OSError as error:
            print_log(f'features are not kept: {error}', 'current', logging.WARNING)


def file_stamps(dataset: Any) -> dict[str, int]:
    """A number for each clip that changes with the file it is read from.

    Args:
        dataset: A ``ClipDataset``: ``RGB`` reads a video per clip, ``Pose`` all from
            the skeleton store. Size and time of change are looked at.
    """
    clips = dataset.metainfo['clips']
    tables = hashlib.sha256(dataset.root.fingerprint().encode())
    if dataset.modality != 'RGB':
        for file in sorted((dataset.root.path / 'skeletons').iterdir()):
            tables.update(f'{file.name} {_size_and_time(file)}'.encode())
        return dict.fromkeys(clips, _number(tables))
    stamps = {}
    for index, clip in enumerate(clips):
        stamp = tables.copy()
        file = Path(dataset.get_data_info(index)['filename'])
        stamp.update(_size_and_time(file).encode())
        stamps[clip] = _number(stamp)
    return stamps


def _size_and_time(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return 'absent'
    return f'{status.st_size} {status.st_mtime_ns}'


def _number(digest: Any) -> int:
    return int.from_bytes(digest.digest()[:8], 'big', signed=True)
