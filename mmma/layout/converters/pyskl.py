"""PySKL and MMAction2: a pickle of 2D skeletons, ``split`` and ``annotations``.

Source: MMAction2, docs of ``PoseDataset``; PYSKL, tools/data/README.md, 3f6795f2.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmma.layout.converters.source import SourceTree
from mmma.layout.converters.target import Conversion, Options, prepare, write
from mmma.layout.joint_sets import JOINT_SETS, get_layout
from mmma.layout.joints import WHOLEBODY65, JointLayout
from mmma.layout.paths import read_text
from mmma.layout.problems import Problem, refuse
from mmma.layout.pyskl import SkeletonClip, SkeletonPickle, read_pyskl
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.layout.skeletons import SkeletonWriter
from mmma.taxonomy import (
    DOMAINS,
    LABEL_SPACES,
    SUBSETS,
    LabelSpace,
    check_choice,
    load_label_space,
    suggest,
)

SUFFIXES = ('.pkl', '.pickle')
FPS = 30.0


def _coco17() -> JointLayout:
    body = set(JOINT_SETS['body17'])
    return JointLayout(
        names=JOINT_SETS['body17'],
        flip_pairs=tuple(p for p in WHOLEBODY65.flip_pairs if body.issuperset(p)),
        limbs=tuple(p for p in WHOLEBODY65.limbs if body.issuperset(p)),
    )


LAYOUTS = {17: _coco17(), 65: WHOLEBODY65}
"""Layouts by number of joints; others need the mapping's ``layout``."""


@dataclass(frozen=True)
class PickleMapping:
    """What a pickle does not tell; the fields of a ``--mapping`` file, all optional.

    Attributes:
        label_space: Whose indices the labels are.
        splits: Name of a split -> subset, or '' to leave it; those not named here
            count if they are a subset or end in ``_`` and one.
        domain: Of clips that ``domains`` does not name.
        domains: Start of a clip's name -> domain.
        layout: Fields of the joint layout, if it is not known by its number of joints.
    """

    label_space: str = 'mma82'
    splits: dict[str, str] = field(default_factory=dict)
    domain: str = 'lab'
    domains: dict[str, str] = field(default_factory=dict)
    layout: dict[str, Any] | None = None

    @classmethod
    def read(cls, path: Path | None) -> PickleMapping:
        """Read a mapping file.

        Args:
            path: A JSON file with some of the fields; None takes the defaults.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Not a JSON object, or a key or value that is not allowed.
        """
        if path is None:
            return cls()
        try:
            content = json.loads(read_text(path))
            for key in content:
                check_choice('key', key, tuple(cls.__dataclass_fields__))
            mapping = cls(**content)
            check_choice('label_space', mapping.label_space, tuple(LABEL_SPACES))
            for domain in (mapping.domain, *mapping.domains.values()):
                check_choice('domain', domain, DOMAINS)
            for subset in filter(None, mapping.splits.values()):
                check_choice('subset', subset, SUBSETS)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{path}: {error}') from None
        return mapping

    def subset_of(self, split: str) -> str | None:
        """Subset that a split becomes, if any."""
        if split in self.splits:
            return self.splits[split] or None
        last = split.rpartition('_')[2]
        return last if last in SUBSETS else None

    def domain_of(self, clip: str) -> str:
        """Domain of a clip, by the start of its name."""
        starts = (start for start in self.domains if clip.startswith(start))
        return self.domains.get(max(starts, key=len, default=''), self.domain)


class _PickleFile(SourceTree):
    """A source that is one file."""

    def __init__(self, path: Path) -> None:
        self.path, self.files, self._videos = path, [], {}


def convert_pyskl(source: Path, out: Path, options: Options) -> Conversion:
    """Convert a skeleton pickle into a root without videos.

    Args:
        source: The pickle, or a folder with one at any depth.
        out: The data root to write.
        options: What the user chose; ``fps`` is that of all clips, ``mapping`` a
            :class:`PickleMapping`.

    Raises:
        FileNotFoundError: No such file or folder, or no pickle in it.
        ValueError: A pickle that is refused or bad, labels beyond the label space,
            joints of no known layout, or a bad place to write.
    """
    tree = _PickleFile(source) if source.is_file() else SourceTree(source)
    path = source if source.is_file() else _only_pickle(tree)
    prepare(tree, out, options)
    mapping = PickleMapping.read(options.mapping)
    space = load_label_space(mapping.label_space)
    content = read_pyskl(path)
    conversion = Conversion()
    subsets = _subsets(content, mapping, path, conversion.notices)
    chosen = [clip for clip in content.clips if clip.name in subsets]
    layout = _layout(chosen, mapping, path)
    _check(chosen, space, layout, path)
    conversion.clips = [
        Clip(c.name, '', subsets[c.name], mapping.domain_of(c.name), '', c.label, None)
        for c in chosen
    ]
    conversion.notices += _assumed(content, chosen, mapping, options)
    kept = list(conversion.notices)
    info = DatasetInfo(path.stem, space.name, False, f'skeleton pickle {path.name}')
    write(conversion, info, space, (tree, out), options)
    _write_skeletons(chosen, layout, out, options.fps or FPS)
    conversion.notices = kept  # skeletons that were there before are replaced
    return conversion


def _only_pickle(tree: SourceTree) -> Path:
    found = [file for file in tree.files if file.suffix.lower() in SUFFIXES]
    if not found:
        raise FileNotFoundError(
            f'{tree.path}: no {" or ".join(SUFFIXES)} file is in it; give the pickle'
        )
    if len(found) > 1:
        raise ValueError(
            f'{tree.path}: {len(found)} pickles ({", ".join(map(str, found[:3]))}); '
            'give one of them'
        )
    return tree.path / found[0]


def _subsets(
    content: SkeletonPickle, mapping: PickleMapping, path: Path, notices: list[str]
) -> dict[str, str]:
    """Subset of each clip that is in a split taken."""
    for split in mapping.splits:
        if split not in content.split:
            raise ValueError(
                f'{path}: no split {split!r}; it has {", ".join(content.split)}.'
                f'{suggest(split, content.split)}'
            )
    taken = {s: mapping.subset_of(s) for s in content.split}
    wanted = Counter(subset for subset in taken.values() if subset)
    again = [subset for subset, count in wanted.items() if count > 1]
    if again or not wanted:
        what = f'several splits for {again[0]}' if again else 'no split is a subset'
        raise ValueError(
            f'{path}: {what}: {", ".join(taken)}. Say which are train, val and test: '
            '--mapping FILE with {"splits": {"xsub_train": "train", "xview_train": ""}}'
        )
    have = {clip.name for clip in content.clips}
    found: dict[str, str] = {}
    for split, subset in taken.items():
        lost = [name for name in content.split[split] if subset and name not in have]
        twice = [name for name in content.split[split] if subset and name in found]
        if lost or twice:
            reason = 'have no annotation' if lost else 'are in another subset too'
            raise ValueError(
                f'{path}: split {split!r}: {len(lost or twice)} clips {reason}, such '
                f'as {(lost or twice)[0]!r}'
            )
        if subset:
            found.update(dict.fromkeys(content.split[split], subset))
        else:
            notices.append(f'split {split} is left out')
    return found


def _layout(
    clips: Iterable[SkeletonClip], mapping: PickleMapping, path: Path
) -> JointLayout:
    counts = sorted({clip.keypoint.shape[2] for clip in clips})
    if mapping.layout is not None:
        layout = get_layout(mapping.layout)
    elif counts and counts[0] in LAYOUTS:
        layout = LAYOUTS[counts[0]]
    else:
        known = ' or '.join(map(str, LAYOUTS))
        raise ValueError(
            f'{path}: clips of {", ".join(map(str, counts)) or "no"} joints; {known} '
            'are known (COCO, COCO-WholeBody without the face). Name the joints: '
            '--mapping FILE with {"layout": {"names": [...], "flip_pairs": [...], '
            '"limbs": [...]}}'
        )
    return replace(layout, extractor=layout.extractor or 'pyskl')


def _check(
    clips: list[SkeletonClip], space: LabelSpace, layout: JointLayout, path: Path
) -> None:
    joints, problems = len(layout.names), []
    for clip in clips:
        if clip.label >= space.num_actions:
            text = (
                f'label {clip.label}, but {space.name} has 0..{space.num_actions - 1}'
            )
            problems.append(Problem(str(path), 0, clip.name, text))
        if clip.keypoint.shape[2] != joints:
            text = f'{clip.keypoint.shape[2]} joints, the layout has {joints}'
            problems.append(Problem(str(path), 0, clip.name, text))
    refuse(problems, path)


def _assumed(
    content: SkeletonPickle,
    chosen: list[SkeletonClip],
    mapping: PickleMapping,
    options: Options,
) -> list[str]:
    notices = [f'labels are taken as indices of {mapping.label_space}']
    if not options.fps:
        notices.append(f'{FPS:g} frames per second assumed (--fps)')
    if len(chosen) < len(content.clips):
        left = len(content.clips) - len(chosen)
        notices.append(f'{left} clips are in no split that was taken')
    repaired = sum(clip.repaired for clip in chosen)
    if repaired:
        notices.append(
            f'{repaired} joints had NaN, and are missing now, or scores outside '
            '[0, 1], which were cut'
        )
    return notices


def _write_skeletons(
    clips: list[SkeletonClip], layout: JointLayout, out: Path, fps: float
) -> None:
    most = max(len(clip.keypoint) for clip in clips)
    with SkeletonWriter(out, 'rec', layout, most) as writer:
        for clip in clips:
            height, width = clip.img_shape
            writer.append(clip.name, clip.keypoint, clip.score, fps, width, height)
