"""Small trees as others publish them, and mapping files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mmma.convert import Conversion, Options, convert
from mmma.data.root import DataRoot


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Makes a folder of files from their contents."""

    def make(files: Mapping[str, str | bytes]) -> Path:
        folder = tmp_path / 'download'
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content = content.encode() if isinstance(content, str) else content
            path.write_bytes(content)
        return folder

    return make


@pytest.fixture
def mapping_file(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a mapping, of text or what becomes JSON."""

    def write(content: Any) -> Path:
        path = tmp_path / 'mapping.json'
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def run(
    tree: Callable[[Mapping[str, str | bytes]], Path], tmp_path: Path
) -> Callable[..., tuple[DataRoot, Conversion]]:
    """Converts files into the root ``out``."""

    def convert_files(
        kind: str, files: Mapping[str, str | bytes], **options: Any
    ) -> tuple[DataRoot, Conversion]:
        out = tmp_path / 'out'
        conversion = convert(kind, tree(files), out, Options(**options))
        return DataRoot(out), conversion

    return convert_files
