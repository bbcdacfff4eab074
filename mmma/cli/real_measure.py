"""The short measurement behind the estimates of ``real``; one process per part.

``python -m mmma.cli.real_measure JSON`` prints one JSON object.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmma.data.root import DataRoot

SAMPLE = 4
"""Clips that are looked at."""
_STEPS = 3


def measure_part(request: dict[str, Any], timeout_sec: float = 900) -> dict[str, Any]:
    """Measure in a process of its own, so that no failure stops the plan.

    Args:
        request: ``part`` and the arguments of its function.
        timeout_sec: When to give up.

    Returns:
        What the function returned, or ``failure``.
    """
    command = [sys.executable, '-W', 'ignore', '-m', 'mmma.cli.real_measure']
    command.append(json.dumps(request))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=timeout_sec
        )
    except subprocess.TimeoutExpired:
        return {'failure': f'took longer than {timeout_sec:.0f} s'}
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        return {'failure': lines[-1].removeprefix('ValueError: ')}
    return json.loads(done.stdout.splitlines()[-1])


def make_sample(data: str, folder: str) -> dict[str, Any]:
    """Copy a few clips, spread over the table, into a data root of their own.

    Args:
        data: The data root.
        folder: Where the sample goes.

    Returns:
        ``clips`` of the sample and their ``bytes``.

    Raises:
        ValueError: No clip has a video that is there.
    """
    from dataclasses import replace

    from mmma.data.clips import write_rec
    from mmma.data.root import write_info

    root = DataRoot(data)
    clips = [c for c in root.read_rec() if c.path and root.video_path(c.path).is_file()]
    if not clips:
        raise ValueError(f'{data}: no clip of rec.csv has a video that is there')
    chosen = clips[:: -(-len(clips) // SAMPLE)]
    shutil.rmtree(folder, ignore_errors=True)
    for clip in chosen:
        target = Path(folder, clip.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root.video_path(clip.path), target)
    chosen = [replace(clip, subset='train') for clip in chosen]
    write_rec(Path(folder, 'rec.csv'), chosen, root.label_space())
    write_info(Path(folder), root.info)
    return {'clips': len(chosen), 'bytes': _size(folder)}


def measure_data(sample: str, packed: str, pack: bool) -> dict[str, Any]:
    """Looking at clips, and packing them, on one core.

    Args:
        sample: From :func:`make_sample`.
        packed: Where to pack it.
        pack: Whether to pack at all.

    Returns:
        Seconds and bytes per clip, and frames.
    """
    from mmma.data.leakage import find_leakage
    from mmma.media.pose import VideoFrames

    root = DataRoot(sample)
    clips = root.read_rec()
    found: dict[str, Any] = {'clips': len(clips)}
    frames = [len(VideoFrames(root.video_path(c.path))) for c in clips]
    found['frames'] = sum(frames) / len(clips)
    found['look'] = seconds(lambda: find_leakage(root, workers=0)) / len(clips)
    if pack:
        from mmma.media.encode import PackOptions
        from mmma.media.pack import RunOptions, pack_root

        shutil.rmtree(packed, ignore_errors=True)
        options, how = PackOptions(), RunOptions(workers=0)
        taken = seconds(lambda: pack_root(root, Path(packed), options, how))
        found['pack'] = taken / len(clips)
        found['packed_bytes'] = _size(packed) / len(clips)
    return found


def measure_pose(root: str, backend: str, models: str | None) -> dict[str, Any]:
    """Finding joints, on one core.

    Args:
        root: The sample, packed if models will read it packed.
        backend: Of the extractor.
        models: Its files.

    Returns:
        Seconds per frame, loading of the extractor left out.
    """
    from mmma.media.extractors import PoseOptions, build_extractor
    from mmma.media.pose import VideoFrames, extract_clip

    options = PoseOptions(backend, models=Path(models) if models else None)
    data = DataRoot(root)
    path = data.video_path(data.read_rec()[0].path)
    extractor = build_extractor(options)
    extract_clip(extractor, VideoFrames(path))  # loads the models
    taken = seconds(lambda: extract_clip(extractor, VideoFrames(path)))
    return {'pose': taken / len(VideoFrames(path))}


def measure_recipe(
    config: str, root: str, options: Sequence[str] = (), train: bool = True
) -> dict[str, Any]:
    """A model on real input: loading, a training step, a forward pass.

    Args:
        config: Of recognition.
        root: The sample; random joints are added where it has no skeletons.
        options: ``--cfg-options`` of the training.
        train: Whether it will be trained.

    Returns:
        Seconds per clip, ``mib`` of memory at the peak, and counts of the recipe.
    """
    import torch

    from mmma.apis import load_config
    from mmma.engine.run import set_environment

    cfg = load_config(
        config, {'protocol': 'indomain'}, data_root=root, cfg_options=options
    )
    set_environment(cfg, 'none')
    if cfg.test_dataloader.dataset.get('modality') == 'Pose':
        add_random_joints(root)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = _build(cfg).to(device)
    found = {
        'device': torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
        'epochs': cfg.train_cfg.get('max_epochs', 1),
        'val_interval': cfg.train_cfg.get('val_interval', 1),
        'loaders': cfg.train_dataloader.num_workers,
        'batch_size': cfg.train_dataloader.batch_size,
        'params': sum(p.numel() for p in model.parameters()),
        'features': cfg.model.cls_head.get('in_channels', 0),
    }
    batch, found['test_load'] = _batch(cfg.test_dataloader, 'train', device)
    found['test'] = _test_seconds(model, batch)
    if train:
        batch, found['load'] = _batch(cfg.train_dataloader, 'train', device)
        found['train'] = _train_seconds(model, batch, cfg.train_dataloader.batch_size)
    found['mib'] = _peak_mib(device)
    return found


def add_random_joints(root: str) -> None:
    """Give a sample without skeletons joints that wander about.

    Args:
        root: The sample.
    """
    import numpy as np

    from mmma.data.arrays import SkeletonWriter
    from mmma.data.joints import WHOLEBODY65

    data = DataRoot(root)
    if data.has_skeletons('rec'):
        return
    rng = np.random.default_rng(0)
    with SkeletonWriter(root, 'rec', WHOLEBODY65) as writer:
        for clip in data.read_rec():
            joints = len(WHOLEBODY65.names)
            keypoint = rng.uniform(40, 200, (1, 1, joints, 2))
            keypoint = keypoint + rng.normal(0, 2, (1, 64, joints, 2))
            score = np.ones((1, 64, joints))
            writer.append(clip.clip, keypoint, score, 30.0, 256, 256)


def _build(cfg: Any) -> Any:
    from mmengine.registry import DefaultScope

    from mmma.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmma'):
        return MODELS.build(cfg.model)


def _batch(loader: Any, subset: str, device: str) -> tuple[Any, float]:
    """As many clips as a batch has, repeated from the sample; seconds to load one."""
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import DefaultScope

    from mmma.registry import DATASETS

    loader.dataset.subset = subset
    with DefaultScope.overwrite_default_scope('mmma'):
        dataset = DATASETS.build(loader.dataset)
    items: list[Any] = [dataset[0]]  # opens and imports
    taken = seconds(lambda: items.extend(dataset[i] for i in range(len(dataset))))
    many = [items[i % len(items)] for i in range(loader.batch_size)]
    return pseudo_collate(many), taken / len(dataset)


def _test_seconds(model: Any, batch: Any) -> float:
    import torch

    model.eval()

    def step() -> None:
        with torch.no_grad():
            model.test_step(batch)

    return _median(step) / len(batch['data_samples'])


def _train_seconds(model: Any, batch: Any, batch_size: int) -> float:
    import torch

    model.train()
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-9, momentum=0.9
    )

    def step() -> None:
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return _median(step) / batch_size


def _median(step: Callable[[], Any]) -> float:
    import statistics

    step()
    return statistics.median(seconds(step) for _ in range(_STEPS))


def seconds(work: Callable[[], Any]) -> float:
    """How long something takes, the GPU's share included.

    Args:
        work: What to do.
    """
    torch = sys.modules.get('torch')
    wait = torch.cuda.synchronize if torch and torch.cuda.is_available() else None
    started = time.perf_counter()
    work()
    if wait:
        wait()
    return time.perf_counter() - started


def _peak_mib(device: str) -> float:
    if device == 'cuda':
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    status = Path('/proc/self/status')
    if status.is_file():  # rusage would count what the parent had as well
        lines = (line.split() for line in status.read_text().splitlines())
        return next(float(line[1]) for line in lines if line[0] == 'VmHWM:') / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == 'darwin' else peak / 1024


def _size(folder: str) -> int:
    return sum(p.stat().st_size for p in Path(folder).rglob('*') if p.is_file())


PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    'sample': make_sample,
    'data': measure_data,
    'pose': measure_pose,
    'recipe': measure_recipe,
}

if __name__ == '__main__':
    arguments = json.loads(sys.argv[1])
    print(json.dumps(PARTS[arguments.pop('part')](**arguments)))
