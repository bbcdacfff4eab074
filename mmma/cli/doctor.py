"""Check this installation.

Prints versions, devices, video decoders, shared memory and the repairs of upstream
packages that are live. Exit status 1 if something that every run needs is broken."""

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmma import compat

PYTHONS = ((3, 10), (3, 14))
SHARED_MEMORY_GIB = 1.0
DISK_GIB = 5.0

ARGUMENTS = """
--json: print one JSON object and nothing else"""


def run(args: argparse.Namespace) -> int:
    """Examine, print, and fail if something required is broken."""
    report = examine()
    if args.json:
        print(json.dumps(report, indent=1))
    else:
        print(describe(report))
    return 1 if report['problems'] else 0


def examine() -> dict[str, Any]:
    """Look at the installation and the machine; what ``--json`` prints."""
    problems: list[str] = []
    versions = {'python': sys.version.split()[0], **compat.versions()}
    for name, module in compat.REQUIRED.items():
        if name == 'mmaction2' and versions[name] == 'absent':
            told = 'mmaction2 is absent: pip install --no-deps mmaction2==1.2.0'
            problems.append(told)
        elif name != 'mmaction2':  # it needs the repairs, which are checked below
            _guarded(name, lambda m=module: importlib.import_module(m), problems)
    low, high = PYTHONS
    if not low <= sys.version_info[:2] < high:
        wanted = f'{low[0]}.{low[1]} to {high[0]}.{high[1] - 1}'
        problems.append(f'Python {versions["python"]}: use {wanted}')
    repairs = _guarded('repairs', _repairs, problems) or []
    devices = _guarded('devices', _devices, problems) or []
    decoders = _guarded('decoders', decoder_states, problems) or {}
    if decoders and 'works' not in decoders.values():
        problems.append('no video decoder works: pip install av')
    memory = Path('/dev/shm')
    shared = _gib(shutil.disk_usage(memory).total) if memory.is_dir() else None
    disk = _gib(shutil.disk_usage(Path.cwd()).free)
    return {
        'versions': versions,
        'devices': devices,
        'decoders': decoders,
        'shared_memory_gib': shared,
        'free_disk_gib': disk,
        'repairs': repairs,
        'warnings': [*_machine_warnings(shared, disk), *compat.shared_folders()],
        'problems': problems,
    }


def describe(report: dict[str, Any]) -> str:
    """A report of :func:`examine` as text."""
    lines = [f'{name:22}{version}' for name, version in report['versions'].items()]
    lines += ['', *(report['devices'] or ['no GPU: training is slow, tests are not'])]
    states = ', '.join(f'{k} {v}' for k, v in report['decoders'].items())
    lines += [f'decoders: {states}']
    if report['shared_memory_gib'] is not None:
        lines.append(f'shared memory: {report["shared_memory_gib"]} GiB')
    lines += [f'free disk here: {report["free_disk_gib"]} GiB', '', 'repairs:']
    for repair in report['repairs']:
        state = 'live' if repair['active'] else 'not needed'
        lines.append(f'  {repair["name"]:20}{state:12}{repair["reason"]}')
    for kind in ('warnings', 'problems'):
        lines += ['', f'{kind}:', *(f'  {text}' for text in report[kind] or ['none'])]
    return '\n'.join(lines)


def _guarded(what: str, look: Callable[[], Any], problems: list[str]) -> Any:
    """Call a function; what it raises becomes a problem, and None."""
    try:
        return look()
    except Exception as error:  # a doctor does not fall ill
        hint = ' (apt-get install libgl1)' if 'libGL' in str(error) else ''
        problems.append(f'{what}: {type(error).__name__}: {error}{hint}')
        return None


def _repairs() -> list[dict[str, Any]]:
    from mmma.registry import MODELS

    MODELS.import_from_location()
    importlib.import_module('mmaction.models')
    told = ('name', 'active', 'reason')
    return [{key: getattr(r, key) for key in told} for r in compat.REPAIRS]


def decoder_states() -> dict[str, str]:
    """Let each backend decode a video that is made here, and say how it fared."""
    import numpy as np

    from mmma.simulation.render import write_video
    from mmma.video import BACKENDS, available_backends, open_video

    states = dict.fromkeys(BACKENDS, 'absent')
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'a.mp4')
        write_video(path, np.zeros((4, 32, 32, 3), np.uint8), 25)
        for backend in available_backends():
            try:
                with open_video(path, backend) as video:
                    shape = video.get_frames([3]).shape
                states[backend] = 'works' if shape == (1, 32, 32, 3) else 'fails'
            except (ImportError, OSError, RuntimeError, ValueError) as error:
                states[backend] = f'fails ({error})'
    return states


def _devices() -> list[str]:
    import torch

    cards = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [
        f'GPU {index}: {one.name}, {one.total_memory / 2**30:.0f} GiB, '
        f'CUDA {torch.version.cuda}'
        for index, one in enumerate(cards)
    ]


def _gib(size: int) -> float:
    return round(size / 2**30, 1)


def _machine_warnings(shared: float | None, disk: float) -> Iterator[str]:
    if shared is not None and shared < SHARED_MEMORY_GIB:
        yield (
            f'/dev/shm has {shared} GiB: data loaders with workers need more and stop '
            'with a bus error. In Docker use --shm-size=8g; or num_workers=0.'
        )
    if disk < DISK_GIB:
        yield f'{disk} GiB of free disk in {os.getcwd()}: checkpoints need more'
