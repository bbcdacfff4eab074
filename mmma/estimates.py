"""Disk, time and memory of a workflow's steps, from a few clips of its data.

``python -m mmma.estimates JSON`` measures one part and prints one JSON object: each has
a process of its own, so that no failure stops the plan.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmma.config import find_config
from mmma.data.clips import write_rec
from mmma.data.root import DataRoot, write_info
from mmma.files import read_json, write_file
from mmma.processes import loaders_per_process, usable_cores
from mmma.workflow import Step, Workflow, duration

SAMPLE = 4
"""Clips that are looked at."""

Estimate = tuple[float | None, float | None, float | None, str]
"""Bytes on disk, seconds, MiB of memory at the peak (of a GPU where the step runs on
one), and how these came about, or why there are none; None is unknown."""

_JOINT_BYTES = 65 * 3 * 2
_FLOAT = 4
_STEPS = 3


def estimate_steps(flow: Workflow, left: Sequence[Step]) -> dict[str, Estimate]:
    """Estimate steps by name; none where only tables are left.

    What was measured before in the same way is taken from ``measured.json``.
    """
    if all(step.command[0] == 'table' for step in left):
        return {}
    file = flow.out / 'measured.json'
    try:
        known = read_json(file) if file.is_file() else {}
        known = {k: v for k, v in known.items() if v.get('request')}
    except (ValueError, AttributeError, TypeError):  # damaged: all is measured again
        known = {}
    requests = _requests(flow, left)
    kept = ((name, known.get(name, {})) for name in requests)
    todo = {n for n, k in kept if k.get('request') != requests[n] or 'failure' in k}
    for name, request in requests.items():
        if name in todo or (todo and name == 'data'):  # the others need its sample
            print(f'measuring on a few clips: {name}', file=sys.stderr)
            known[name] = {**measure_part(request), 'request': request}
    shutil.rmtree(flow.out / '.sample', ignore_errors=True)
    write_file(file, json.dumps(known, indent=1) + '\n')
    root = DataRoot(flow.args.data)
    source = root.info.source_domain
    counts = Counter((clip.subset, clip.domain == source) for clip in root.read_rec())
    cores = flow.args.workers or usable_cores()
    found = {name: known[name] for name in requests}
    return {step.name: estimate(step, counts, found, cores) for step in left}


def _requests(flow: Workflow, left: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Parts to measure, by name, in this order."""
    args, folder = flow.args, flow.out / '.sample'
    source, packed = str(folder / 'source'), str(folder / 'packed')
    pack = flow.root == flow.out / 'packed'
    root = packed if pack else source
    own: dict[str, Any] = dict(data=str(args.data), sample=source)
    requests = {'data': dict(part='data', packed=pack and packed, **own)}
    models = str(args.models) if args.models else None
    for step in left:
        trained = step.command[0] == 'train'
        if step.name == 'pose':
            own = dict(part='pose', backend=args.backend, models=models)
            requests['pose'] = dict(root=root, **own)
        elif step.recipe and (trained or step.recipe not in requests):
            config = str(find_config(f'recog/{step.recipe}_mma82_indomain', False))
            options = ' '.join(step.command).partition(' --cfg-options ')[2].split()
            own = dict(config=config, options=options, train=trained)
            requests[step.recipe] = dict(part='recipe', root=root, **own)
    return requests


def plan_table(
    flow: Workflow, estimates: Mapping[str, Estimate], left: Sequence[Step]
) -> str:
    """Show the plan with estimates as a table, and the commands below it.

    Steps that are not left were done; one without an estimate is unknown.
    """
    from prettytable import PrettyTable

    table = PrettyTable(['', 'step', 'disk', 'time', 'memory', 'how estimated'])
    table.align = 'r'
    table.align['step'] = table.align['how estimated'] = 'l'
    for number, step in enumerate(flow.steps, start=1):
        *known, how = estimates.get(step.name, (None, None, None, ''))
        if step not in left:
            known, how = [None] * 3, 'done before'
        table.add_row([number, step.name, *_cells(*known), how])
    found = [estimates[step.name] for step in left if step.name in estimates]
    total = [sum(known[column] or 0 for known in found) for column in (0, 1)]
    table.add_row(['', 'known in all', *_cells(*total)[:2], '', ''])
    lines = [table.get_string()]
    lines += [f'left out: {name} ({why})' for name, why in flow.left_out.items()]
    lines += [f'{n:2d} {s.line()}' for n, s in enumerate(flow.steps, start=1)]
    return '\n'.join(lines)


def _cells(
    size: float | None, seconds: float | None, mib: float | None = None
) -> tuple[str, str, str]:
    """Texts for disk, time and memory; – is unknown."""
    disk = memory = '–'
    if size is not None:
        big = size >= 1e9
        disk = f'{size / 1e9:,.1f} GB' if big else f'{size / 1e6:,.1f} MB'
    if mib is not None:
        memory = f'{mib / 1024:,.1f} GiB'
    return disk, '–' if seconds is None else duration(seconds), memory


def estimate(
    step: Step, counts: Mapping[Any, int], measured: Mapping[str, Any], cores: int
) -> Estimate:
    """Estimate a step from clips by (subset, domain) and what was measured by part."""
    data, kind = measured.get('data', {}), step.command[0]
    name = 'pose' if kind == 'data/pose' else step.recipe or 'data'
    part = measured.get(name, {})
    if 'failure' in part or 'failure' in data or not data:
        why = part.get('failure') or data.get('failure', 'not measured')
        return None, None, None, why
    if kind in ('train', 'test', 'probe'):
        return _model_estimate(step, counts, part, cores)
    if kind == 'table':
        return 0, None, None, 'seconds'
    clips, how = sum(counts.values()), f'{data["clips"]} clips on one core'
    frames, size = clips * data['frames'], 0.0
    if kind == 'data/check':
        taken = clips * data['look']
    elif kind == 'data/pack':
        size, taken = clips * data['packed_bytes'], clips * data['pack']
    else:  # found joints are kept clip by clip until the store is written
        size, taken, how = 2 * frames * _JOINT_BYTES, frames * part['pose'], 'one clip'
    return size, taken / cores, None, f'{how}, {cores} cores'


def _model_estimate(
    step: Step, counts: Mapping[Any, int], part: Mapping[str, Any], cores: int
) -> Estimate:
    """Estimate a training, a test or a probe."""

    def number(subset: str | None, source: bool | None = None) -> int:
        fits = (k for k in counts if subset in (None, k[0]) and source in (None, k[1]))
        return sum(counts[key] for key in fits)

    gpus = max(step.gpus, 1)
    loaders = max(min(part['loaders'] * gpus, cores), 1)

    def per_clip(work: str, load: str) -> float:
        # A CPU loads and computes in turns; beside a GPU it loads.
        if part['device'] == 'CPU':
            return part[work] + part[load] / loaders
        return max(part[work] / gpus, part[load] / loaders)

    kind, tag = step.command[0], step.name.partition('-')[2]
    how = f'steps of {part["batch_size"]} clips on {part["device"]}'
    if kind == 'train':
        source, epochs = True if tag == 'lab' else None, part['epochs']
        taken = epochs * number('train', source) * per_clip('train', 'load')
        checks = -(-epochs // part['val_interval'])
        taken += checks * number('val', source) * per_clip('test', 'test_load')
        # Last (with the optimizer's two copies at most) and best.
        size = part['params'] * _FLOAT * 4
        return size, taken, part['mib'], f'{how}, {epochs} epochs'
    size = 0
    if kind == 'probe':
        clips = number(None) if tag == 'test' else 0  # kept by the first
        size = clips * part['features'] * _FLOAT
        how = f'{how}; the fits add minutes'
    elif tag == 'fewshot':
        clips = number('train', False) + number('test', False)
        how = f'{how}; the refits add minutes'
    else:
        subset = 'val' if tag == 'val' else 'test'
        clips = number(subset, False if tag == 'zeroshot' else None)
    return size, clips * per_clip('test', 'test_load'), part['mib'], how


def measure_part(request: dict[str, Any], timeout_sec: float = 900) -> dict[str, Any]:
    """Call a function of ``PARTS`` in a process of its own; or give ``failure``."""
    words = ['-W', 'ignore', '-m', 'mmma.estimates', json.dumps(request)]
    pipes: dict[str, Any] = dict(capture_output=True, text=True, timeout=timeout_sec)
    try:
        done = subprocess.run([sys.executable, *words], check=False, **pipes)
    except subprocess.TimeoutExpired:
        return {'failure': f'took longer than {timeout_sec:.0f} s'}
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        return {'failure': lines[-1].removeprefix('ValueError: ')}
    return json.loads(done.stdout.splitlines()[-1])


def measure_data(data: str, sample: str, packed: str | bool) -> dict[str, Any]:
    """Seconds per clip of looking for leakage and of packing, on one core.

    ``sample`` is a folder for a few of the clips, spread over the table, as a data
    root; ``packed`` one for them when packed, or False, which packs nothing. Without
    videos ValueError is raised.
    """
    from mmma.data.leakage import find_leakage
    from mmma.media.encode import PackOptions
    from mmma.media.pack import pack_root
    from mmma.media.pose import VideoFrames

    root = DataRoot(data)
    clips = [c for c in root.read_rec() if c.path and root.video_path(c.path).is_file()]
    if not clips:
        raise ValueError(f'{data}: no clip of rec.csv has a video that is there')
    clips = [replace(c, subset='train') for c in clips[:: -(-len(clips) // SAMPLE)]]
    shutil.rmtree(sample, ignore_errors=True)
    for clip in clips:
        target = Path(sample, clip.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root.video_path(clip.path), target)
    write_rec(Path(sample, 'rec.csv'), clips, root.label_space())
    write_info(Path(sample), root.info)
    root, number = DataRoot(sample), len(clips)
    frames = sum(len(VideoFrames(root.video_path(c.path), c.span)) for c in clips)
    found: dict[str, Any] = {'clips': number, 'frames': frames / number}
    found['look'] = _seconds(lambda: find_leakage(root, workers=0)) / number
    if packed:
        shutil.rmtree(packed, ignore_errors=True)
        target, options = Path(packed), PackOptions()
        taken = _seconds(lambda: pack_root(root, target, options, workers=0))
        size = sum(p.stat().st_size for p in target.rglob('*') if p.is_file())
        found.update(pack=taken / number, packed_bytes=size / number)
    return found


def measure_pose(root: str, backend: str, models: str | None) -> dict[str, Any]:
    """Seconds per frame of finding joints, on one core, without loading models."""
    from mmma.media import pose

    data = DataRoot(root)
    first = data.read_rec()[0]
    file = data.video_path(first.path), first.span
    options = pose.PoseOptions(backend, models=Path(models) if models else None)
    extractor = pose.build_extractor(options)

    def work() -> None:
        pose.extract_clip(extractor, pose.VideoFrames(*file))

    work()  # loads the models
    return {'pose': _seconds(work) / len(pose.VideoFrames(*file))}


def measure_recipe(
    config: str, root: str, options: Sequence[str] = (), train: bool = True
) -> dict[str, Any]:
    """Seconds per clip of loading, training and testing, memory, counts of a recipe.

    Random joints are added to the sample where it has no skeletons.
    """
    import numpy as np
    import torch
    from mmengine.optim import OptimWrapper
    from mmengine.registry import DefaultScope

    from mmma.config import load_config
    from mmma.data.arrays import SkeletonWriter
    from mmma.data.joints import WHOLEBODY65
    from mmma.registry import MODELS

    given = dict(data_root=root, cfg_options=options)
    cfg = load_config(config, {'protocol': 'indomain'}, **given)
    posed = 'Pose' in cfg.test_dataloader.dataset.get('modality', 'RGB')
    if posed and not (data := DataRoot(root)).has_skeletons('rec'):
        rng, shape = np.random.default_rng(0), (1, 64, len(WHOLEBODY65.names))
        with SkeletonWriter(data.path, 'rec', WHOLEBODY65) as writer:
            for clip in data.read_rec():
                start = rng.uniform(40, 200, (shape[2], 2))
                joints = start + rng.normal(0, 2, (*shape, 2))
                writer.append(clip.clip, joints, np.ones(shape), 30.0, 256, 256)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    loader = cfg.train_dataloader
    with DefaultScope.overwrite_default_scope('mmma'):
        model = MODELS.build(cfg.model).to(device)
        tested, test_load = _load_batch(cfg.test_dataloader)
        workers = loaders_per_process() if (n := loader.num_workers) is None else n
        found = dict(batch_size=loader.batch_size, loaders=workers)
        found['device'] = torch.cuda.get_device_name() if device == 'cuda' else 'CPU'
        found['epochs'] = cfg.train_cfg.get('max_epochs', 1)
        found['val_interval'] = cfg.train_cfg.get('val_interval', 1)
        found['params'] = sum(p.numel() for p in model.parameters())
        found['features'] = getattr(model.cls_head, 'in_channels', 0)
        found['test_load'] = test_load
        model.eval()
        with torch.no_grad():
            taken = _seconds(lambda: model.test_step(tested), _STEPS)
        found['test'] = taken / cfg.test_dataloader.batch_size
        if train:
            batch, found['load'] = _load_batch(loader)
            model.train()
            learned = [p for p in model.parameters() if p.requires_grad]
            steps = OptimWrapper(torch.optim.SGD(learned, lr=1e-9, momentum=0.9))
            taken = _seconds(lambda: model.train_step(batch, steps), _STEPS)
            found['train'] = taken / loader.batch_size
    found['mib'] = _peak_mib(device)
    return found


def _load_batch(loader: Any) -> tuple[Any, float]:
    """A batch of the sample's clips, repeated; seconds to load one clip."""
    from mmengine.dataset import pseudo_collate

    from mmma.registry import DATASETS

    loader.dataset.subset = 'train'
    dataset = DATASETS.build(loader.dataset)
    items: list[Any] = [dataset[0]]  # opens and imports
    taken = _seconds(lambda: items.extend(dataset[i] for i in range(len(dataset))))
    many = [items[i % len(items)] for i in range(loader.batch_size)]
    return pseudo_collate(many), taken / len(dataset)


def _seconds(work: Callable[[], Any], repeats: int = 0) -> float:
    """Time that something takes, the GPU's share included; or the median of repeats."""
    if repeats:
        work()
        return statistics.median(_seconds(work) for _ in range(repeats))
    torch = sys.modules.get('torch')
    gpu = torch and torch.cuda.is_available()
    started = time.perf_counter()
    work()
    if gpu:
        torch.cuda.synchronize()
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


PARTS = {'data': measure_data, 'pose': measure_pose, 'recipe': measure_recipe}

if __name__ == '__main__':
    arguments = json.loads(sys.argv[1])
    print(json.dumps(PARTS[arguments.pop('part')](**arguments)))
