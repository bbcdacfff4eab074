"""A data root: one folder with tables, videos and skeletons."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.data.clips import Clip, body_map, read_rec
from mmma.data.videos import Video, read_det
from mmma.files import atomic_write, leaves_root, read_json
from mmma.taxonomy import LABEL_SPACES, LabelSpace, check_choice, load_label_space

INFO_FILE, REC_FILE, DET_FILE = 'dataset.json', 'rec.csv', 'det.json'
TASKS = ('rec', 'det')


@dataclass(frozen=True)
class DatasetInfo:
    """What ``dataset.json`` says of a root.

    Attributes:
        name: Name of the data set.
        label_space: ``mma82`` or ``ma52``.
        simulated: True where no real person is shown; numbers are then marked so.
        source: Where it comes from.
        version: Its release.
        packed: What was done to the videos when they were packed, if they were.
    """

    name: str
    label_space: str
    simulated: bool
    source: str | None = None
    version: str | None = None
    packed: Any = None


class DataRoot:
    """The files of one data set.

    Args:
        path: Folder with ``dataset.json`` and ``rec.csv``, ``det.json`` or both.

    Raises:
        FileNotFoundError: There is no such folder, or no ``dataset.json`` in it.
        ValueError: ``dataset.json`` is bad.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not (self.path / INFO_FILE).is_file():
            raise FileNotFoundError(missing_root(self.path))
        self.info = read_info(self.path)
        self._real_path = self.path.resolve()
        self._spaces: dict[str, LabelSpace] = {}

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f'DataRoot({str(self.path)!r})'

    @property
    def has_rec(self) -> bool:
        """Whether there is a recognition table."""
        return (self.path / REC_FILE).is_file()

    @property
    def has_det(self) -> bool:
        """Whether there is a detection table."""
        return (self.path / DET_FILE).is_file()

    def has_skeletons(self, task: str) -> bool:
        """Whether there is a skeleton store for ``rec`` or ``det``."""
        check_choice('task', task, TASKS)
        return (self.path / 'skeletons' / f'{task}.npy').is_file()

    def read_rec(self, body_groups: str = 'taxonomy') -> list[Clip]:
        """Rows of ``rec.csv``.

        Args:
            body_groups: Whose body groups fill what the file leaves empty, as in
                ``load_label_space``.

        Raises:
            FileNotFoundError: The root has no such table.
            ValueError: Bad rows.
        """
        self._need(REC_FILE, self.has_rec, 'recognition')
        return read_rec(self.path / REC_FILE, self._published(body_groups))

    def read_det(self) -> list[Video]:
        """Entries of ``det.json``.

        Raises:
            FileNotFoundError: The root has no such table.
            ValueError: Bad entries.
        """
        self._need(DET_FILE, self.has_det, 'detection')
        return read_det(self.path / DET_FILE, self._published('taxonomy'))

    def label_space(self, body_groups: str = 'taxonomy') -> LabelSpace:
        """The root's label space, with the body groups that ``rec.csv`` gives.

        Args:
            body_groups: As in ``load_label_space``, where the file says nothing.
        """
        if body_groups not in self._spaces:
            space = self._published(body_groups)
            if self.has_rec:
                space = body_map(self.read_rec(body_groups), space)
            self._spaces[body_groups] = space
        return self._spaces[body_groups]

    def fingerprint(self) -> str:
        """SHA-256, in hex, over ``dataset.json`` and the tables that exist."""
        digest = hashlib.sha256()
        for name in (INFO_FILE, REC_FILE, DET_FILE):
            file = self.path / name
            if file.is_file():
                content = file.read_bytes()
                digest.update(f'{name} {len(content)}\n'.encode())
                digest.update(content)
        return digest.hexdigest()

    def video_path(self, relative: str) -> Path:
        """Where a video of a table lies; it need not exist.

        Args:
            relative: Path as written in the table.

        Raises:
            ValueError: The path is empty, or leaves the root: absolute, by ``..`` or
                through a link.
        """
        if not relative:
            raise ValueError(
                f'{self.path}: no video here, path is empty (skeletons only?)'
            )
        file = self.path / relative
        if leaves_root(relative):
            raise ValueError(f'path {relative!r} leaves the data root {self.path}')
        target = file.resolve()
        if not target.is_relative_to(self._real_path):
            raise ValueError(
                f'path {relative!r} leaves the data root {self.path} through a link '
                f'to {target}: put the files inside the root, or make the whole root '
                'a link'
            )
        return file

    def _published(self, body_groups: str) -> LabelSpace:
        return load_label_space(self.info.label_space, body_groups)

    def _need(self, name: str, exists: bool, task: str) -> None:
        if not exists:
            raise FileNotFoundError(
                f'{self.path} has no {name}, so it holds no {task} data'
            )


def read_info(root: Path) -> DatasetInfo:
    """Read ``dataset.json``; keys it does not know are left alone.

    Args:
        root: The data root.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Not JSON, a key is missing, or a value is bad.
    """
    file = Path(root) / INFO_FILE
    content = read_json(file)
    if not isinstance(content, dict):
        raise ValueError(f'{file}: must be an object with name, label_space, simulated')
    for key, kind in (('name', str), ('label_space', str), ('simulated', bool)):
        if not isinstance(content.get(key), kind):
            raise ValueError(
                f'{file}: {key!r} is {content.get(key)!r}; it must be there and be a '
                f'{kind.__name__}'
            )
    try:
        check_choice('label space', content['label_space'], LABEL_SPACES)
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from None
    known = DatasetInfo.__dataclass_fields__
    return DatasetInfo(**{key: content[key] for key in known if key in content})


def is_simulated(truth: Path) -> bool | None:
    """What the root of a truth file says of itself; None for a file on its own."""
    try:
        return read_info(truth.parent).simulated
    except (FileNotFoundError, ValueError):
        return None


def write_info(root: Path, info: DatasetInfo) -> None:
    """Write ``dataset.json``; what is None is left out.

    Args:
        root: The data root; made if it does not exist.
        info: What to write.
    """
    content = {key: value for key, value in vars(info).items() if value is not None}
    with atomic_write(Path(root) / INFO_FILE) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def missing_root(path: Path) -> str:
    """What is missing and how to get it, in one paragraph.

    Args:
        path: Where a data root was expected.
    """
    what = 'it has no dataset.json' if path.is_dir() else 'there is no such folder'
    return (
        f'No data in {path}: {what}. Either make the simulated stand-in, which needs '
        f'no licence (`python tools/data/simulate.py {path} --scale small`), or get '
        'the real data: fill in the licence form of the dataset lpynow/MMA-82 on the '
        'Hugging Face hub, download it (`hf download lpynow/MMA-82 --repo-type dataset '
        '--local-dir downloads/mma82`) and convert it (`python tools/data/convert.py '
        f'mma82 downloads/mma82 {path}`).'
    )
