"""What data sets over a data root share: which rows, what is known, broken videos."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmma.datasets.clip_selection import ClipFilter, select_clips
from mmma.datasets.samplers.keys import SampleKey, as_key
from mmma.datasets.seeding import sample_rng
from mmma.datasets.video.errors import BrokenVideoError
from mmma.layout.rec import Clip
from mmma.layout.root import DataRoot
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice, load_label_space

ON_BROKEN = ('replace', 'raise', 'skip')


class RootDataset(BaseDataset, ABC):
    """Samples of one subset and some domains of a data root.

    A row of ``data_list`` has the sample's name under ``noun``, ``path``, ``domain``
    and ``subject``. Samplers may ask by ``SampleKey`` instead of a plain index; all
    that is random is a function of it. The options are those of the subclasses.

    Attributes:
        noun: What a row is, and the key of its name: ``clip`` or ``video``.
        columns: Key of ``metainfo`` -> key of the rows that it lists.
        modalities: What ``modality`` may be; only ``RGB`` reads video files.

    Raises:
        FileNotFoundError: There is no such root.
        ValueError: A bad option or table, a root of another label space, an empty
            selection, or a pipeline whose decoder returns key frames only.
    """

    noun: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    modalities: ClassVar[tuple[str, ...]] = ('RGB', 'Pose')

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        subset: str,
        pipeline: Sequence[dict | Callable],
        domains: Sequence[str] | None = None,
        label_space: str = 'mma82',
        body_groups: str = 'taxonomy',
        test_mode: bool = False,
        names: Iterable[str] | str | os.PathLike[str] | None = None,
        modality: str = 'RGB',
        on_broken: str | None = None,
        max_refetch: int = 1000,
        **kwargs: Any,
    ) -> None:
        self.subset = check_choice('subset', subset, SUBSETS)
        self.modality = check_choice('modality', modality, self.modalities)
        default = 'raise' if test_mode else 'replace'
        self.on_broken = check_choice('on_broken', on_broken or default, ON_BROKEN)
        self.body_groups = body_groups
        self.root = _open_root(data_root, label_space)
        self._filter = ClipFilter(subset, domains, names, keep_unlabelled=test_mode)
        super().__init__(
            data_root=str(data_root),
            data_prefix={},
            pipeline=pipeline,
            test_mode=test_mode,
            max_refetch=max_refetch,
            **kwargs,
        )
        space = load_label_space(label_space, body_groups)
        self._metainfo = {**space_meta(space), **self._metainfo}  # lazy: not filled
        _refuse_key_frames_only(self.pipeline)

    @property
    def metainfo(self) -> dict[str, Any]:
        """What is known of classes and samples; the lists are shared, not copied."""
        return dict(self._metainfo)

    @abstractmethod
    def load_data_list(self) -> list[dict]:
        """Rows of the table that are selected."""

    def full_init(self) -> None:
        """Read the table, once."""
        if self._fully_initialized:
            return
        self.data_list = self.load_data_list()
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        self._metainfo.update(self._describe(self.data_list))
        if self.serialize_data:
            self.data_bytes, self.data_address = self._serialize_data()
        self._fully_initialized = True

    def get_data_info(self, idx: int) -> dict:
        """The sample's dict, before all that is random.

        Args:
            idx: Place in the data set.

        Raises:
            ValueError: The video lies outside the root.
        """
        info = super().get_data_info(idx)
        path = info.pop('path')
        rgb = self.modality == 'RGB'
        info.update(
            index=info['sample_idx'],
            filename=str(self.root.video_path(path)) if rgb else '',
            data_root=self.data_root,
            modality=self.modality,
            start_index=0,
        )
        return info

    def __getitem__(self, key: SampleKey | int) -> dict:
        """One sample after the pipeline.

        Args:
            key: From a sampler, or a plain index.

        Raises:
            ValueError: A video cannot be read and ``on_broken`` is ``raise``, or none
                of ``max_refetch`` others can be read in its place.
        """
        self.full_init()
        key = as_key(key)
        wanted = self.get_data_info(key.index)
        failures: list[str] = []
        for step in range(min(self.max_refetch + 1, len(self))):
            index = (wanted['index'] + step) % len(self)
            info = self._stand_in(index, wanted) if step else dict(wanted)
            try:
                with sample_rng(key._replace(index=index)):
                    return self.pipeline(self._draw(info))
            except self._unreadable as error:
                name = self._metainfo[f'{self.noun}s'][index]
                failures.append(f'{self.noun} {name!r} cannot be read: {error}')
            if self.on_broken == 'raise':
                raise ValueError(f'{failures[0]}. {_SKIP_HINT.format(self.noun)}')
        raise ValueError(
            f'{len(failures)} {self.noun}s in a row cannot be read; the first: '
            + '; '.join(failures[:5])
        )

    def _describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What ``metainfo`` says of the rows."""
        return {
            column: [row[key] for row in rows] for column, key in self.columns.items()
        }

    def _draw(self, info: dict) -> dict:
        """What is random of a sample before its pipeline; generators are seeded."""
        return info

    def _select(self, table: Sequence[Any]) -> list[Any]:
        """Entries that the options let through; says how many have no truth."""
        chosen, unlabelled = select_clips(table, self._filter, self.root.path)
        if unlabelled:
            print_log(
                f'{self.root.path}: left out {unlabelled} {self.subset} {self.noun}s '
                f'whose {_TRUTH[self.noun]} withheld',
                'current',
                logging.WARNING,
            )
        if self.modality == 'RGB':
            _refuse_without_video(chosen, self.root, self.noun)
        return chosen

    @property
    def _unreadable(self) -> tuple[type[Exception], ...]:
        rgb = self.modality == 'RGB'
        return (BrokenVideoError, FileNotFoundError) if rgb else ()

    def _stand_in(self, index: int, wanted: dict) -> dict:
        """What is read in the place of a broken one; skipped ones keep their name."""
        info = self.get_data_info(index)
        kept = wanted if self.on_broken == 'skip' else info
        return {**kept, 'filename': info['filename'], 'broken': wanted[self.noun]}


_SKIP_HINT = (
    'Repair the file; or leave such {}s out and have the results name them: '
    "--skip-broken of test.py, on_broken='skip' of this dataset."
)
_TRUTH = {'clip': 'action is', 'video': 'annotations are'}


def space_meta(space: LabelSpace) -> dict[str, Any]:
    """What ``metainfo`` says of a label space.

    Args:
        space: The label space.
    """
    return {
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
    }


def _open_root(path: str | os.PathLike[str], label_space: str) -> DataRoot:
    root = DataRoot(path)
    if root.info.label_space != label_space:
        raise ValueError(
            f'{root.path} has label space {root.info.label_space!r}, but the config '
            f'asks for {label_space!r}: choose a data root or a config that fits'
        )
    return root


def _refuse_without_video(chosen: Sequence[Clip], root: DataRoot, noun: str) -> None:
    bare = [getattr(entry, noun) for entry in chosen if not entry.path]
    if bare:
        raise ValueError(
            f'{root.path}: {len(bare)} of {len(chosen)} selected {noun}s have no '
            f'video file (the first: {bare[0]!r}), only skeletons. Use a skeleton '
            'config, or make a root with videos: `python tools/data/simulate.py OUT '
            '--modality video` (or both)'
        )


def _refuse_key_frames_only(transform: Any) -> None:
    """Look for MMAction2's ``mode='efficient'``, also inside wrappers."""
    if getattr(transform, 'mode', None) == 'efficient':
        raise ValueError(
            f"{type(transform).__name__}(mode='efficient') returns key frames only, "
            'and these clips have one: every frame would be the first. Use OpenVideo, '
            "UniformFrames and DecodeFrames, or mode='accurate'"
        )
    for inner in getattr(transform, 'transforms', None) or ():
        _refuse_key_frames_only(inner)
