"""Readers of tables, JSON, lists and configs that others wrote."""

from pathlib import Path

from fuzzing import Reader
from mutations import mutate_json, mutate_table, then_bytes
from result_files import make_rec_root

from mmma.data.clips import read_rec
from mmma.data.root import read_info
from mmma.foreign import has_controls
from mmma.taxonomy import load_label_space

SPACE = load_label_space('mma82')


def rec_table(folder: Path) -> Path:
    make_rec_root(folder, clips=3)
    return folder / 'rec.csv'


def check_clips(clips):
    assert len({clip.clip for clip in clips}) == len(clips)
    for clip in clips:
        assert not has_controls(clip.clip)
        assert 0 <= clip.action < 82
        assert 0 <= clip.body < 7


def info_file(folder: Path) -> Path:
    make_rec_root(folder, clips=1)
    return folder / 'dataset.json'


def read_clips(path: Path):
    return read_rec(path, SPACE)


TABLES = then_bytes(mutate_table)
JSON = then_bytes(mutate_json)

READERS: list[Reader] = []
NEXT: list[Reader] = [
    Reader('rec.csv', rec_table, read_clips, TABLES, check_clips),
    Reader('dataset.json', info_file, lambda path: read_info(path.parent), JSON),
]
