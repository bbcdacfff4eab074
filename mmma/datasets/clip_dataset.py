"""Trimmed clips of a data root, for recognition."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmma.datasets.clip_selection import ClipFilter, select_clips
from mmma.datasets.samplers.keys import SampleKey, as_key
from mmma.datasets.seeding import sample_rng
from mmma.datasets.video.errors import BrokenVideoError
from mmma.layout.rec import Clip, body_map
from mmma.layout.root import DataRoot
from mmma.registry import DATASETS
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice, load_label_space

MODALITIES = ('RGB', 'Pose')
ON_BROKEN = ('replace', 'raise', 'skip')


@DATASETS.register_module()
class ClipDataset(BaseDataset):
    """Clips of one subset and some domains of a data root.

    A sample's dict has ``clip``, ``index``, ``filename``, ``data_root``, ``label`` and
    ``body`` (-1 where withheld), ``domain``, ``subject``, ``modality`` and
    ``start_index`` (0). Samplers may ask by ``SampleKey`` instead of a plain index; all
    that is random is a function of it.

    ``metainfo`` has ``label_space``, ``classes`` (K names), ``bodies`` (B names),
    ``body_of`` (K indices), and in the order of the clips ``clips``, ``labels``,
    ``domains``, ``subjects``: plain lists, shared and not to be changed.

    Args:
        data_root: Folder with ``dataset.json`` and ``rec.csv``.
        subset: ``train``, ``val`` or ``test``.
        pipeline: Transforms.
        domains: Domains to take; None takes all.
        label_space: The space that the root must have.
        body_groups: Whose body groups count where the root gives none.
        test_mode: Clips without a label are kept, and broken ones are an error.
        clips: Names to restrict to, or a file with one per line.
        modality: ``RGB`` reads videos, ``Pose`` the skeleton store.
        on_broken: What to do with a video that cannot be read: ``replace`` it by the
            next readable clip (default in training), ``raise`` (default in testing), or
            ``skip``: replace it, but keep its name and label and set ``broken``, so
            that the metric leaves it out.
        max_refetch: Clips tried in the place of a broken one.
        **kwargs: ``indices``, ``lazy_init`` and ``serialize_data`` of ``BaseDataset``.

    Raises:
        FileNotFoundError: There is no such root.
        ValueError: A bad option or table, a root of another label space, an empty
            selection, or a pipeline whose decoder returns key frames only.
    """

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        subset: str,
        pipeline: Sequence[dict | Callable],
        domains: Sequence[str] | None = None,
        label_space: str = 'mma82',
        body_groups: str = 'taxonomy',
        test_mode: bool = False,
        clips: Iterable[str] | str | os.PathLike[str] | None = None,
        modality: str = 'RGB',
        on_broken: str | None = None,
        max_refetch: int = 1000,
        **kwargs: Any,
    ) -> None:
        self.subset = check_choice('subset', subset, SUBSETS)
        self.modality = check_choice('modality', modality, MODALITIES)
        default = 'raise' if test_mode else 'replace'
        self.on_broken = check_choice('on_broken', on_broken or default, ON_BROKEN)
        self.body_groups = body_groups
        self.root = _open_root(data_root, label_space)
        self._filter = ClipFilter(subset, domains, clips, keep_unlabelled=test_mode)
        super().__init__(
            data_root=str(data_root),
            data_prefix={},
            pipeline=pipeline,
            test_mode=test_mode,
            max_refetch=max_refetch,
            **kwargs,
        )
        space = load_label_space(label_space, body_groups)
        self._metainfo = {**_space_meta(space), **self._metainfo}  # lazy: not filled
        _refuse_key_frames_only(self.pipeline)

    @property
    def metainfo(self) -> dict[str, Any]:
        """What is known of classes and clips; the lists are shared, not copied."""
        return dict(self._metainfo)

    def load_data_list(self) -> list[dict]:
        """Rows of the table that are selected."""
        table = self.root.read_rec(self.body_groups)
        published = load_label_space(self.root.info.label_space, self.body_groups)
        self._metainfo.update(_space_meta(body_map(table, published)))
        chosen, unlabelled = select_clips(table, self._filter, self.root.path)
        if unlabelled:
            print_log(
                f'{self.root.path}: left out {unlabelled} {self.subset} clips whose '
                'action is withheld',
                'current',
                logging.WARNING,
            )
        if self.modality == 'RGB':
            _refuse_without_video(chosen, self.root)
        return [_row(clip) for clip in chosen]

    def full_init(self) -> None:
        """Read the table, once."""
        if self._fully_initialized:
            return
        self.data_list = self.load_data_list()
        if self._indices is not None:
            self.data_list = self._get_unserialized_subset(self._indices)
        for column, key in _COLUMNS.items():
            self._metainfo[column] = [row[key] for row in self.data_list]
        if self.serialize_data:
            self.data_bytes, self.data_address = self._serialize_data()
        self._fully_initialized = True

    def get_data_info(self, idx: int) -> dict:
        """The sample's dict, before the pipeline.

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
                    return self.pipeline(info)
            except self._unreadable as error:
                name = self._metainfo['clips'][index]
                failures.append(f'clip {name!r} cannot be read: {error}')
            if self.on_broken == 'raise':
                raise ValueError(f'{failures[0]}. {_SKIP_HINT}')
        raise ValueError(
            f'{len(failures)} clips in a row cannot be read; the first: '
            + '; '.join(failures[:5])
        )

    @property
    def _unreadable(self) -> tuple[type[Exception], ...]:
        rgb = self.modality == 'RGB'
        return (BrokenVideoError, FileNotFoundError) if rgb else ()

    def _stand_in(self, index: int, wanted: dict) -> dict:
        """What is read in the place of a broken clip; skipped clips keep their name."""
        info = self.get_data_info(index)
        kept = wanted if self.on_broken == 'skip' else info
        return {**kept, 'filename': info['filename'], 'broken': wanted['clip']}


_COLUMNS = {
    'clips': 'clip',
    'labels': 'label',
    'domains': 'domain',
    'subjects': 'subject',
}
_SKIP_HINT = (
    'Repair the file; or leave such clips out and have the results name them: '
    "--skip-broken of test.py, on_broken='skip' of this dataset."
)


def _open_root(path: str | os.PathLike[str], label_space: str) -> DataRoot:
    root = DataRoot(path)
    if root.info.label_space != label_space:
        raise ValueError(
            f'{root.path} has label space {root.info.label_space!r}, but the config '
            f'asks for {label_space!r}: choose a data root or a config that fits'
        )
    return root


def _space_meta(space: LabelSpace) -> dict[str, Any]:
    return {
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
    }


def _row(clip: Clip) -> dict[str, Any]:
    return {
        'clip': clip.clip,
        'path': clip.path,
        'label': -1 if clip.action is None else clip.action,
        'body': -1 if clip.body is None else clip.body,
        'domain': sys.intern(clip.domain),
        'subject': sys.intern(clip.subject),
    }


def _refuse_without_video(clips: Sequence[Clip], root: DataRoot) -> None:
    bare = [clip.clip for clip in clips if not clip.path]
    if bare:
        raise ValueError(
            f'{root.path}: {len(bare)} of {len(clips)} selected clips have no video '
            f'(the first: {bare[0]!r}), only skeletons. Use a skeleton config, or make '
            'a root with videos: `python tools/data/simulate.py OUT --modality video` '
            '(or both)'
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
