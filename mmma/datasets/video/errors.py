"""What is raised for a file that is there and is no readable video."""

from __future__ import annotations

import os


class BrokenVideoError(ValueError):
    """A file that cannot be read as video: truncated, empty, sound only, not a video.

    Args:
        path: The file.
        reason: What is wrong with it.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str = '') -> None:
        super().__init__(str(path), reason)  # both, so that it can be pickled
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}' if self.reason else self.path
