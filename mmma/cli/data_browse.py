"""Draw what a model sees: samples of a config, several epochs side by side.

Frames are as they come to the model, before they are normalised; skeletons are summed
heatmaps, or joints where a model takes those; below a window of an untrimmed video is a
lane for each instance in it. Nothing is trained, and no weights are read."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from mmma.cli.arguments import run_arguments
from mmma.cli.data_preview import SUFFIXES
from mmma.taxonomy import check_choice

ARGUMENTS = """
*config
#
--subset {train,val,test} = train: whose samples
--samples N (int) = 6: spread over the subset
--epochs N (int) = 3: of each sample
--frames N (int) = 5: of each epoch, spread over the clip or window
--out sheet.png (out), required: PNG or JPG"""
_STOPS = ('Format', 'Pack', 'SkeletonFeatures')  # what follows is no picture any more
_HEIGHT, _LANE = 96, 14


def run(args: argparse.Namespace) -> int:
    """Make the samples up to what packs them, draw them, write the sheet."""
    import numpy as np

    from mmma.datasets.samplers import SampleKey
    from mmma.engine.run import check_data, open_run
    from mmma.simulation.preview import pick_frames, write_sheet

    check_choice('suffix of --out', args.out.suffix.lower(), SUFFIXES)
    if min(args.samples, args.epochs, args.frames) < 1:
        raise ValueError('--samples, --epochs and --frames must be at least 1')
    run = open_run(*run_arguments(args))
    (data,) = check_data(run, args.subset)
    if data.modality == 'Feature':
        raise ValueError('features are no pictures: give a config of videos or joints')
    steps, classes = data.pipeline.transforms, run.space.actions
    stops = (i for i, one in enumerate(steps) if type(one).__name__.startswith(_STOPS))
    data.pipeline.transforms = steps[: next(stops, len(steps))]
    sheet, changed = [], 0
    for index in np.unique(pick_frames(len(data), args.samples)).tolist():
        keys = (SampleKey(run.protocol.seed, e, index) for e in range(args.epochs))
        row = [data[key] for key in keys]
        pictures = list(_draw(row, run.cfg.model, args.frames))
        changed += any((pictures[0] != one).any() for one in pictures)
        for epoch, (seen, picture) in enumerate(zip(row, pictures, strict=True)):
            label = [classes[n] for n in [seen.get('label', -1)] if n >= 0]
            name = ', '.join([seen[data.noun], *label, f'epoch {epoch}'])
            sheet.append((name, picture, seen))
    lanes = max(len(seen.get('gt_segments', ())) for *_, seen in sheet)
    strips = [(name, [_lanes(*own, classes, lanes)]) for name, *own in sheet]
    mark = ' (simulated: no real person, never a benchmark)' * run.root.info.simulated
    size = args.epochs, _HEIGHT + lanes * _LANE, f'{run.name}, {args.subset}{mark}'
    write_sheet(args.out, 'samples', strips, *size)
    count = len(sheet) // args.epochs
    told = f'{count} samples of {args.subset}, {args.epochs} epochs'
    print(f'{args.out}: {told}; {changed} of {count} change with the epoch')
    return 0


def _draw(row: Sequence[dict], model: Any, count: int) -> Iterator[Any]:
    """Frames of each epoch of a sample, side by side, as (H, W, 3) uint8 RGB."""
    import cv2
    import numpy as np
    import torch

    from mmma.data.joints import JointLayout
    from mmma.media.pose import draw_over
    from mmma.models.preprocessors import HeatmapPreprocessor, draw_heatmaps
    from mmma.simulation.preview import pick_frames

    options = dict(model.get('data_preprocessor') or {})
    heatmaps = options.pop('type', '') == 'HeatmapPreprocessor'
    for seen in row:
        at, norm = pick_frames(seen['clip_len'], count), seen.get('img_norm_cfg')
        places, sure = (seen.get(key) for key in ('keypoint', 'keypoint_score'))
        if 'imgs' in seen:
            frames = np.stack([seen['imgs'][i] for i in at])
            frames = frames * norm['std'] + norm['mean'] if norm else frames
        elif heatmaps:
            joints = (torch.from_numpy(x[None, :, at]) for x in (places, sure))
            limbs = HeatmapPreprocessor(**options).limbs
            maps = draw_heatmaps(*joints, seen['img_shape'], limbs)[0]  # (C, T, H, W)
            maps = maps.sum(0).clamp(0, 1).numpy()[..., None]
            frames = 255 * (1 - maps.repeat(3, -1))
        else:
            known = [x['keypoint'][x['keypoint_score'] > 0] for x in row]
            known = np.concatenate(known) if any(map(len, known)) else np.eye(2)
            low, tree = known.min(0), seen['joint_tree']
            scale = 2 * _HEIGHT / (known.max(0) - low).max()  # one for all epochs
            bones = tuple((tree.names[a], tree.names[b]) for a, b in tree.bones)
            layout = JointLayout(tree.names, limbs=bones)
            frames = np.full((len(at), 2 * _HEIGHT, 2 * _HEIGHT, 3), 255, np.uint8)
            for person, (i, t) in product(range(len(places)), enumerate(at)):
                points = (places[person, t] - low) * scale
                frames[i] = draw_over(frames[i], points, sure[person, t], layout)
        joined = np.hstack(frames.clip(0, 255).astype(np.uint8))
        size = round(joined.shape[1] * _HEIGHT / joined.shape[0]), _HEIGHT
        yield cv2.resize(joined, size, interpolation=cv2.INTER_AREA)


def _lanes(picture: Any, seen: dict, names: Sequence[str], count: int) -> Any:
    """A picture above lanes of its true instances, each where it is in the window."""
    import cv2
    import numpy as np

    wide, font = picture.shape[1], (cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40))
    lanes = np.full((count * _LANE, wide, 3), 250, np.uint8)
    truth = zip(seen.get('gt_segments', ()), seen.get('gt_labels', ()), strict=True)
    for i, (segment, label) in enumerate(truth):
        top = i * _LANE
        at = segment * wide * seen['window'].rate / seen['window'].valid
        lanes[top : top + _LANE - 2, slice(*at.astype(int))] = 170, 205, 240
        left = max(0, min(int(at[0]) + 2, wide - 6 * len(names[label])))
        cv2.putText(lanes, names[label], (left, top + 10), *font, 1, cv2.LINE_AA)
    return np.vstack([picture, lanes])
