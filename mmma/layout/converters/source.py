"""The downloaded tree that a converter reads: its tables and its videos."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from mmma.layout.decoding import VIDEO_SUFFIXES
from mmma.taxonomy import SUBSETS


class SourceTree:
    """Files under a folder, listed once.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(f'{self.path}: no such folder to convert from')
        self.files = _list_files(self.path)
        self._videos: dict[str, list[PurePosixPath]] = defaultdict(list)
        for file in self.files:
            if file.suffix.lower() in VIDEO_SUFFIXES:
                self._videos[file.stem].append(file)

    @property
    def num_videos(self) -> int:
        """How many video files there are."""
        return sum(len(files) for files in self._videos.values())

    def find(self, name: str) -> Path | None:
        """The file of that name nearest to the top, if there is one.

        Args:
            name: File name, without folders.
        """
        found = [file for file in self.files if file.name == name]
        return self.path / found[0] if found else None

    def find_video(
        self, name: str, subset: str, folders: Collection[str] = ()
    ) -> PurePosixPath | None:
        """The video that a table means, relative to this tree, if it is there.

        A file in a folder named after another subset is not taken. Among several, those
        win that lie in the folder written before the name, then in one of ``folders``,
        then in one of the subset, then those with the suffix written.

        Args:
            name: As the table has it: a name or a path, with or without suffix.
            subset: ``train``, ``val`` or ``test``.
            folders: Names of folders that speak for a file, in lower case.

        Raises:
            ValueError: Several files fit equally well.
        """
        wanted = PurePosixPath(name)
        stem, _ = split_name(name)
        parents = wanted.parent.parts
        others = set(SUBSETS) - {subset}
        found: dict[tuple[bool, ...], list[PurePosixPath]] = defaultdict(list)
        for file in self._videos.get(stem, []):
            above = file.parts[:-1]
            if subset not in above and others & set(above):
                continue
            fit = (
                above[len(above) - len(parents) :] == parents,
                not {part.lower() for part in above}.isdisjoint(folders),
                subset in above,
                file.name == wanted.name,
            )
            found[fit].append(file)
        best = found[max(found)] if found else []
        if len(best) > 1:
            raise ValueError(
                f'{name!r} ({subset}) could be {best[0]} or {best[1]} in {self.path}: '
                'keep one of them there'
            )
        return best[0] if best else None


class SourceFile(SourceTree):
    """A source that is one table, without videos.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.files, self._videos = path, [], defaultdict(list)


def split_name(name: str) -> tuple[str, str]:
    """Name of a clip or video without folders, and its suffix; ``.mp4`` if it has none.

    Args:
        name: As a table has it; what follows a dot counts only if it is a container.
    """
    file = PurePosixPath(name)
    if file.suffix.lower() in VIDEO_SUFFIXES:
        return file.stem, file.suffix
    return file.name, '.mp4'


def _list_files(top: Path) -> list[PurePosixPath]:
    """Files under a folder, relative to it, those nearest to the top first."""
    files = []
    for folder, subfolders, names in os.walk(top):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        here = PurePosixPath(Path(folder).relative_to(top).as_posix())
        files += [here / name for name in names]
    return sorted(files, key=lambda file: (len(file.parts), file.parts))
