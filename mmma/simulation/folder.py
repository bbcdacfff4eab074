"""The folder that a corpus is written into: what it holds, what it may become."""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from pathlib import Path

from mmma.layout.det import write_det
from mmma.layout.paths import atomic_write
from mmma.layout.rec import write_rec
from mmma.layout.root import DET_FILE, INFO_FILE, REC_FILE, read_info
from mmma.simulation.chunks import PARTIAL
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.plan import NAME, Item, Plan
from mmma.taxonomy import load_label_space

_PLAN_FILE = 'plan.json'
_OURS = (PARTIAL, INFO_FILE, REC_FILE, DET_FILE, 'skeletons', 'videos')
_BYTES_PER_FRAME = 2 * 3 * 65  # of skeletons: int16; x, y, score; joints
# Above what the drawings of every domain took when they were measured.
_BYTES_PER_PIXEL = 0.014


def prepare(root: Path, plan: Plan, fingerprint: str, force: bool) -> bool:
    """Make sure that the folder is new, or an earlier stage of the same corpus.

    Args:
        root: Where the corpus goes.
        plan: The corpus.
        fingerprint: Of the plan and of the code that carries it out.
        force: Delete another simulated corpus that is in the way.

    Returns:
        Whether the complete corpus is there already.

    Raises:
        ValueError: Something else is in the folder, or the disk is too small.
    """
    if root.exists() and not root.is_dir():
        raise ValueError(f'{root} is a file: name a folder')
    if _has_tables(root, plan):
        if all(file.is_file() for file in data_files(root, plan)):
            finish(root)
            return True
    elif root.is_dir() and any(root.iterdir()):
        _check_content(root, fingerprint, force)
    check_space(root, plan)
    (root / PARTIAL).mkdir(parents=True, exist_ok=True)
    with atomic_write(root / PARTIAL / _PLAN_FILE) as file:
        content = {'fingerprint': fingerprint, 'options': plan.options.describe()}
        file.write(json.dumps(content) + '\n')
    return False


def finish(root: Path) -> None:
    """Remove what only an interrupted run needs."""
    shutil.rmtree(root / PARTIAL, ignore_errors=True)


def write_tables(root: Path, plan: Plan) -> None:
    """Write ``rec.csv`` and ``det.json``, whichever the plan has.

    Args:
        root: The folder.
        plan: The corpus.
    """
    space = load_label_space('mma82')
    if plan.rec:
        write_rec(root / REC_FILE, plan.clips(space), space)
    if plan.det:
        write_det(root / DET_FILE, plan.videos(space), space)


def data_files(root: Path, plan: Plan) -> list[Path]:
    """The skeletons and videos that a complete corpus has."""
    files = [root / item.path for item in plan.items if item.path]
    if plan.options.observes:
        tasks = [t for t, items in (('rec', plan.rec), ('det', plan.det)) if items]
        names = [f'{t}{end}' for t in tasks for end in ('.npy', '_index.csv')]
        files += [root / 'skeletons' / name for name in [*names, 'layout.json']]
    return files


def needed_bytes(plan: Plan) -> int:
    """Disk space for a corpus while it is written; a little less stays in use.

    Skeletons of a task lie there twice while they are put together.
    """
    need = 0.0
    if plan.options.observes:
        frames = [sum(i.frames for i in items) for items in (plan.rec, plan.det)]
        need += _BYTES_PER_FRAME * (sum(frames) + max(frames))
    return round(need + sum(map(_video_bytes, plan.items)))


def check_space(root: Path, plan: Plan) -> None:
    """Refuse to begin what will not fit.

    Args:
        root: The folder; what lies in it is taken for a part of the corpus.
        plan: The corpus.

    Raises:
        ValueError: The disk is too small.
    """
    home = next(p for p in (root, *root.absolute().parents) if p.exists())
    there = sum(f.stat().st_size for f in root.rglob('*') if f.is_file())
    free = shutil.disk_usage(home).free
    needed = needed_bytes(plan)
    if needed > there + free:
        need, have, more = (
            f'{size / 1e6:,.0f} MB' for size in (needed, free, needed - there - free)
        )
        raise ValueError(
            f'{root} needs about {need}, {have} are free there: free {more}, choose '
            'another disk, or a smaller --scale or --tasks'
        )


def _video_bytes(item: Item) -> float:
    width, height = DOMAIN_STYLES[item.domain].size
    return _BYTES_PER_PIXEL * width * height * item.frames if item.path else 0.0


def _has_tables(root: Path, plan: Plan) -> bool:
    """Whether ``dataset.json``, written last, and the tables are those of the plan."""
    if not (root / INFO_FILE).is_file() or read_info(root) != plan.info():
        return False
    with tempfile.TemporaryDirectory() as wanted:
        write_tables(Path(wanted), plan)
        names = [REC_FILE] * bool(plan.rec) + [DET_FILE] * bool(plan.det)
        same, _, _ = filecmp.cmpfiles(root, wanted, names, shallow=False)
    return same == names


def _check_content(root: Path, fingerprint: str, force: bool) -> None:
    """Refuse, or delete, what is no earlier stage of the same corpus."""
    file = root / PARTIAL / _PLAN_FILE
    if file.is_file():
        found = json.loads(file.read_text(encoding='utf-8'))
        if found['fingerprint'] == fingerprint:
            return
        what = (
            f'an unfinished corpus ({found["options"]}), begun with other options or '
            'another version of the code'
        )
    elif (root / INFO_FILE).is_file() and read_info(root).name == NAME:
        what = f'another simulated corpus ({read_info(root).source})'
    else:
        raise ValueError(
            f'{root} is not empty and holds no simulated corpus: choose another folder'
        )
    if not force:
        raise ValueError(
            f'{root} holds {what}: choose another folder, or delete it with --force'
        )
    for name in _OURS:
        target = root / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
