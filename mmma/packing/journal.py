"""What is packed already: one line per video, beside the packed root."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmma.layout.paths import atomic_write

JOURNAL_FILE = 'packing.jsonl'


class Journal:
    """Records of packed videos; one that was written counts after a crash as well.

    Args:
        out: The packed root.
        header: What all of them have in common.
        force: Start anew where the header is another one.

    Raises:
        ValueError: ``out`` was packed from other data or with other options, or holds
            something else.
    """

    def __init__(self, out: Path, header: Mapping[str, Any], force: bool) -> None:
        self.path = out / JOURNAL_FILE
        self.header = json.loads(json.dumps(header))
        self.records: dict[str, dict[str, Any]] = {}
        self._packed_before: set[str] = set()
        if self.path.is_file():
            self._read(force)
        elif out.is_dir() and any(out.iterdir()):
            raise ValueError(
                f'{out} is not empty and was not packed: give another folder'
            )
        self._write(self.records.values())

    def _read(self, force: bool) -> None:
        lines = []
        for line in self.path.read_text('utf-8').splitlines():
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:  # cut off when the writer was killed
                continue
        header, records = (lines[0], lines[1:]) if lines else ({}, [])
        self._packed_before = {record['packed'] for record in records}
        if header == self.header:
            self.records = {record['path']: record for record in records}
        elif not force:
            changes = _changes(header, self.header)
            raise ValueError(
                f'{self.path.parent} was packed differently: {changes}; give another '
                'folder, or --force to pack everything anew'
            )

    def holds(self, path: str, source: Path) -> bool:
        """Whether a video is packed, and neither it nor its source has changed since.

        Args:
            path: As in the tables.
            source: The file.
        """
        record = self.records.get(path)
        if record is None or not source.is_file():
            return False
        packed = self.path.parent / record['packed']
        same = source_identity(source).items() <= record.items()
        return same and packed.is_file() and packed.stat().st_size == record['bytes']

    def add(self, record: dict[str, Any]) -> None:
        """Remember a packed video."""
        self.records[record['path']] = record
        with self.path.open('a', encoding='utf-8') as file:
            file.write(_line(record))

    def finish(self, paths: Iterable[str]) -> None:
        """Sort the records; packed videos that no table names any more are removed.

        Args:
            paths: Those of the tables.
        """
        self.records = {p: self.records[p] for p in sorted(paths) if p in self.records}
        kept = {record['packed'] for record in self.records.values()}
        for stale in self._packed_before - kept:
            (self.path.parent / stale).unlink(missing_ok=True)
        self._write(self.records.values())

    def _write(self, records: Iterable[Mapping[str, Any]]) -> None:
        with atomic_write(self.path) as file:
            file.writelines(map(_line, [self.header, *records]))


def source_identity(source: Path) -> dict[str, int]:
    """What tells whether a source has changed.

    Args:
        source: An existing file.
    """
    found = source.stat()
    return {'source_bytes': found.st_size, 'source_mtime_ns': found.st_mtime_ns}


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + '\n'


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ', '.join(
        f'{key} was {old.get(key)!r}, now {new.get(key)!r}' for key in keys
    )
