"""Dataset of trimmed clips, and the base of every dataset of a root."""

import hashlib
import logging
import os
import pickle
import random
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, ClassVar
from unicodedata import normalize

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from torch.multiprocessing.reductions import reduce_tensor
from torch.utils.data import get_worker_info

from mmma.data.clips import Clip
from mmma.data.emotions import labelled_root
from mmma.data.root import file_stamp
from mmma.data.videos import Video
from mmma.datasets.samplers import SampleKey
from mmma.files import read_text
from mmma.packets import BrokenVideoError
from mmma.registry import DATASETS
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice, load_label_space, suggest


@contextmanager
def sample_rng(key: SampleKey) -> Iterator[None]:
    """Seed Python's, numpy's and torch's global CPU generators from a key.

    Transforms of any package use these, so that what they do depends on the key alone:
    not on workers, world size or resuming. The states found are put back, save in a
    loader's process, where nothing else draws and that would take most of the time.
    """
    if own := get_worker_info() is None:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(list(key)).generate_state(4)
    try:
        random.seed(int(words[0]) << 32 | int(words[1]))
        np.random.seed(words[1:3])
        # Not torch.manual_seed: it would reseed the GPUs as well.
        torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
        yield
    finally:
        if own:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


def _by_value(tensor: torch.Tensor) -> tuple[Callable, tuple]:
    """Send a small tensor as it is: shared memory, for large ones, takes 0.3 ms."""
    plain = tensor.layout is torch.strided and not tensor.requires_grad
    plain &= tensor.dtype in (torch.float32, torch.int64)
    if plain and tensor.nbytes <= 2**18:
        return torch.from_numpy, (tensor.numpy(),)
    return reduce_tensor(tensor)


def read_names(names: Iterable[str] | str | os.PathLike[str]) -> set[str]:
    """Names of clips or videos, as they are or from a file with one per line.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if isinstance(names, (str, os.PathLike)):
        names = map(str.strip, read_text(Path(names)).split('\n'))
    return {normalize('NFC', name) for name in names if name}


_ON_BROKEN = ('replace', 'raise', 'skip')
_SKIP_HINT = (
    'Repair the file; or leave such {}s out and have the results name them: '
    "--skip-broken of test.py, on_broken='skip' of this dataset."
)


class RootDataset(BaseDataset, ABC):
    """Samples of one subset and some domains of a data root.

    A row of ``data_list`` has the sample's name under ``noun``, ``path``, ``domain``
    and ``subject``. Samplers may ask by ``SampleKey`` instead of a plain index; all
    that is random is a function of it. The options are those of the subclasses.

    Attributes:
        noun: What a row is, and the key of its name: ``clip`` or ``video``.
        columns: Key of ``metainfo`` -> key of the rows that it lists.
        modalities: What ``modality`` may be; with ``RGB`` in it, it reads video files.

    Raises:
        FileNotFoundError: There is no such root.
        ValueError: A bad option or table, a root of another label space, an empty
            selection, or a pipeline whose decoder returns key frames only.
    """

    noun: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    labelled: ClassVar[bool] = True  # in training, what has no truth is left out
    modalities: ClassVar[tuple[str, ...]] = ('RGB', 'Pose')

    def __init__(
        self,
        data_root: str | os.PathLike[str],
        subset: str,
        pipeline: Sequence[dict | Callable],
        domains: Sequence[str] | None = None,
        label_space: str | Mapping[str, Any] | None = None,
        label: str | None = None,
        body_groups: str = 'taxonomy',
        test_mode: bool = False,
        modality: str = 'RGB',
        on_broken: str | None = None,
        max_refetch: int = 1000,
        **kwargs: Any,
    ) -> None:
        self.subset = check_choice('subset', subset, SUBSETS)
        self.modality = check_choice('modality', modality, self.modalities)
        default = 'raise' if test_mode else 'replace'
        self.on_broken = check_choice('on_broken', on_broken or default, _ON_BROKEN)
        self.body_groups = body_groups
        self.root = labelled_root(data_root, label)
        info = self.root.info
        theirs = load_label_space(info.label_space, body_groups)
        space = load_label_space(label_space or info.label_space, body_groups)
        if (theirs.name, theirs.actions) != (space.name, space.actions):
            raise ValueError(
                f'{self.root.path} has label space {theirs.name!r}, but the config '
                f'asks for {space.name!r}, of other actions: choose another data root, '
                f'or give --cfg-options label_space={theirs.name} (of your own, none)'
            )
        given = [domains] if isinstance(domains, str) else domains
        wanted = info.domains if given is None else given
        self.domains = [check_choice('domain', d, info.domains) for d in wanted]
        names = kwargs.pop(f'{self.noun}s', None)
        self.names = None if names is None else read_names(names)
        kwargs.update(pipeline=pipeline, test_mode=test_mode, max_refetch=max_refetch)
        super().__init__(data_root=str(data_root), data_prefix={}, **kwargs)
        self._metainfo = {**space_meta(space), **self._metainfo}  # lazy: not filled
        refuse_key_frames_only(self.pipeline)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Facts of classes and samples; the lists are shared, not copied."""
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

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        rows = [np.frombuffer(pickle.dumps(row), np.uint8) for row in self.data_list]
        self.data_list.clear()  # without the half second in which MMEngine's collects
        return np.concatenate(rows), np.cumsum([len(row) for row in rows])

    def get_data_info(self, idx: int) -> dict:
        """The sample's dict, before all that is random.

        Raises:
            ValueError: The video lies outside the root.
        """
        info = super().get_data_info(idx)
        path = info.pop('path')
        rgb = 'RGB' in self.modality
        info['filename'] = str(self.root.video_path(path)) if rgb else ''
        info.update(index=info['sample_idx'], data_root=self.data_root)
        return info | {'modality': self.modality, 'start_index': 0}

    def file_stamps(self) -> dict[str, int]:
        """Numbers by sample, which change with the tables and the file it is read from.

        Of ``RGB`` that is a video, else, or as well, the skeleton store; size and time
        of change are looked at.
        """
        names, known = self._metainfo[f'{self.noun}s'], self.root.fingerprint()
        if self.modality != 'RGB':
            files = sorted((self.root.path / 'skeletons').iterdir())
            known += ''.join(f'{file.name} {_size_and_time(file)}' for file in files)
        if 'RGB' not in self.modality:
            return dict.fromkeys(names, _number(known))
        files = [Path(self.get_data_info(i)['filename']) for i in range(len(names))]
        stamps = (_number(known + _size_and_time(file)) for file in files)
        return dict(zip(names, stamps, strict=True))

    def __getitem__(self, key: SampleKey | int) -> dict:
        """One sample after the pipeline; a plain index has seed and epoch 0.

        Raises:
            ValueError: A video cannot be read and ``on_broken`` is ``raise``, or none
                of ``max_refetch`` others can be read in its place.
        """
        self.full_init()
        if get_worker_info() is not None:
            ForkingPickler.register(torch.Tensor, _by_value)
        if not isinstance(key, SampleKey):
            key = SampleKey(0, 0, int(key))
        wanted = self.get_data_info(key.index)
        rgb = 'RGB' in self.modality
        unreadable = (BrokenVideoError, FileNotFoundError) if rgb else ()
        failures: list[str] = []
        for step in range(min(self.max_refetch + 1, len(self))):
            index = (wanted['index'] + step) % len(self)
            info = dict(wanted)
            if step:  # a stand-in; under 'skip' it keeps the name of the broken one
                other = self.get_data_info(index)
                info = info if self.on_broken == 'skip' else dict(other)
                info.update(filename=other['filename'], broken=wanted[self.noun])
                info['span'] = other.get('span')
            try:
                with sample_rng(key._replace(index=index)):
                    return self.pipeline(self._draw(info))
            except unreadable as error:
                missing = isinstance(error, FileNotFoundError)
                if missing and Path(info['filename']).is_file():
                    raise  # it is not the video that is missing
                name = self._metainfo[f'{self.noun}s'][index]
                failures.append(f'{self.noun} {name!r} cannot be read: {error}')
            if self.on_broken == 'raise':
                raise ValueError(f'{failures[0]}. {_SKIP_HINT.format(self.noun)}')
        raise ValueError(
            f'{len(failures)} {self.noun}s in a row cannot be read; the first: '
            + '; '.join(failures[:5])
        )

    def _describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Entries of ``metainfo`` for the rows."""
        found = {key: [row[own] for row in rows] for key, own in self.columns.items()}
        return found | space_meta(self.root.label_space(self.body_groups))

    def _facts(self, entry: Clip | Video) -> dict[str, Any]:
        """What the rows of all tables have."""
        found = {self.noun: entry.name, 'path': entry.path}
        shared = ('domain', 'subject', 'subset')
        return found | {key: sys.intern(getattr(entry, key)) for key in shared}

    def _draw(self, info: dict) -> dict:
        """Draw what is random before the pipeline; generators are seeded."""
        return info

    def _takes(self, entry: Any) -> bool:
        return entry.subset == self.subset and entry.domain in self.domains

    def _select(self, table: Sequence[Any]) -> list[Any]:
        """Clips or videos that the options let through, in the order of the table."""
        noun, root = self.noun, self.root.path
        inside = [entry for entry in table if self._takes(entry)]
        if self.names is not None:
            known = {getattr(entry, noun) for entry in inside}
            absent = sorted(self.names - known)
            if absent:
                raise ValueError(
                    f'{root}: {len(absent)} of {len(self.names)} listed {noun}s are no '
                    f'{self.subset} {noun}s of {", ".join(self.domains)}; the first: '
                    f'{absent[0]!r}.{suggest(absent[0], known)}'
                )
            inside = [entry for entry in inside if getattr(entry, noun) in self.names]
        key, lacks = {'clip': ('action', None), 'video': ('withheld', True)}[noun]
        keeps = self.test_mode or not self.labelled
        chosen = [e for e in inside if keeps or getattr(e, key) != lacks]
        if not chosen:
            truth = 'a known action' if noun == 'clip' else 'annotations'
            withheld = f' with {truth} (of {len(inside)})' if inside else ''
            counts = Counter((entry.domain, entry.subset) for entry in table)
            held = '; '.join(
                f'{d}: ' + ', '.join(f'{s} {counts[d, s]}' for s in SUBSETS)
                for d in self.root.info.domains
                if any(counts[d, s] for s in SUBSETS)
            )
            told = self.root.incomplete('rec' if noun == 'clip' else 'det')
            raise ValueError(
                f'{root}: no {self.subset} {noun} of '
                f'{", ".join(self.domains)}{withheld}. It holds: '
                f'{"; ".join([held, *told])}'
            )
        if len(chosen) < len(inside):
            truth = 'action is' if noun == 'clip' else 'annotations are'
            out = f'left out {len(inside) - len(chosen)} {self.subset} {noun}s'
            told = f'{root}: {out} whose {truth} withheld'
            print_log(told, 'current', logging.WARNING)
        bare = [getattr(entry, noun) for entry in chosen if not entry.path]
        if bare and 'RGB' in self.modality:
            raise ValueError(
                f'{root}: {len(bare)} of {len(chosen)} selected {noun}s have no '
                f'video file (the first: {bare[0]!r}), only skeletons. Use a skeleton '
                'config, or make a root with videos: `python tools/data/simulate.py '
                'OUT --scale tiny --modality both`'
            )
        return chosen


def _size_and_time(file: Path) -> str:
    stamp = file_stamp(file)
    return f'{stamp[1]} {stamp[0]}' if stamp else 'absent'


def _number(text: str) -> int:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], 'big', signed=True)


def space_meta(space: LabelSpace) -> dict[str, Any]:
    """Entries of ``metainfo`` for a label space."""
    lists = dict(classes=space.actions, bodies=space.bodies, body_of=space.body_of)
    return {'label_space': space.name} | {k: list(own) for k, own in lists.items()}


def refuse_key_frames_only(transform: Any) -> None:
    """Refuse MMAction2's ``mode='efficient'``, also inside wrappers.

    Raises:
        ValueError: It returns key frames only.
    """
    if getattr(transform, 'mode', None) == 'efficient':
        raise ValueError(
            f"{type(transform).__name__}(mode='efficient') returns key frames only, "
            'and these clips have one: every frame would be the first. Use OpenVideo, '
            "UniformFrames and DecodeFrames, or mode='accurate'"
        )
    for inner in getattr(transform, 'transforms', None) or ():
        refuse_key_frames_only(inner)


@DATASETS.register_module()
class ClipDataset(RootDataset):
    """Clips of one subset and some domains of a data root.

    A sample's dict has ``clip``, ``index``, ``filename``, ``data_root``, ``label`` and
    ``body`` (-1 where withheld), ``domain``, ``subject``, ``modality`` and
    ``start_index`` (0), and ``span`` where the clip is a part of its file.

    ``metainfo`` has ``label_space``, ``classes`` (K names), ``bodies`` (B names),
    ``body_of`` (K indices), and in the order of the clips ``clips``, ``labels``,
    ``domains``, ``subjects``: plain lists, shared and not to be changed.

    Args:
        data_root: Folder with ``dataset.json`` and ``rec.csv``.
        subset: ``train``, ``val`` or ``test``.
        pipeline: Transforms.
        clips: Names to restrict to, or a file with one per line.
        **options: ``domains`` to take, None takes all; ``label_space`` that the root
            must have; ``label``: ``emotion`` where clips have that for an action;
            ``body_groups``: whose body groups count where the root gives none;
            ``test_mode``: clips without a label are kept, and broken ones are an
            error; ``modality``: ``RGB`` reads videos, ``Pose`` the skeleton store,
            ``RGB+Pose`` both; ``on_broken``: ``replace`` a video that cannot be read by
            the next readable clip (default in training), ``raise`` (in testing), or
            ``skip``: replace it, keep its name and label, and set ``broken``, for the
            metric to leave it out; ``max_refetch``: clips tried in its place;
            ``indices``, ``lazy_init`` and ``serialize_data`` of ``BaseDataset``.
    """

    noun = 'clip'
    modalities = (*RootDataset.modalities, 'RGB+Pose')
    columns = dict(clips='clip', labels='label', domains='domain', subjects='subject')

    def load_data_list(self) -> list[dict]:
        """Rows of the table that are selected."""
        return [
            {
                **self._facts(clip),
                'label': -1 if clip.action is None else clip.action,
                'body': -1 if clip.body is None else clip.body,
                **({'span': clip.span} if clip.span else {}),
                **({'store': own} if (own := self.root.clips_of) != 'rec' else {}),
            }
            for clip in self._select(self.root.read_rec(self.body_groups))
        ]


@DATASETS.register_module()
class UnlabelledDataset(ClipDataset):
    """Clips of several subsets, whose labels are never read, for pre-training.

    As ``ClipDataset``, but ``label`` and ``body`` are -1, ``subset`` does not matter,
    and ``unlabelled`` of ``metainfo`` says ``train, val of lab; train of street``.

    Args:
        subsets: Those taken of ``domains``, which a protocol trains on.
        other_domains: Those taken of all other domains of the root.
        untrimmed_sec: Also take pieces of about so long of untrimmed videos, but not of
            those that show a test clip which is not taken.
    """

    labelled = False

    def __init__(
        self,
        *args: Any,
        subsets: Sequence[str] = ('train', 'val'),
        other_domains: Sequence[str] = (),
        untrimmed_sec: float | None = None,
        **options: Any,
    ) -> None:
        taken = [[s] if isinstance(s, str) else s for s in (subsets, other_domains)]
        self._taken = [[check_choice('subset', s, SUBSETS) for s in t] for t in taken]
        if untrimmed_sec is not None and not float(untrimmed_sec) > 0:
            raise ValueError(f'untrimmed_sec {untrimmed_sec}: use seconds above 0.')
        self.untrimmed_sec = untrimmed_sec
        super().__init__(*args, **options)

    def _takes(self, entry: Any) -> bool:
        return entry.subset in self._taken[entry.domain not in self.domains]

    def load_data_list(self) -> list[dict]:
        """Rows of clips and pieces that are selected."""
        rows, kept = super().load_data_list(), []
        if self.untrimmed_sec:
            clips = self.root.read_rec(self.body_groups)
            tested = [c for c in clips if c.subset == 'test' and not self._takes(c)]
            files = {file for c in tested for file in (c.path, c.source_video) if file}
            videos = [v for v in self.root.read_det() if v.path and self._takes(v)]
            kept = [v for v in videos if not files & {v.path, v.video}]
            told = f'{len(kept)} of {len(videos)} untrimmed videos show no test clip'
            print_log(f'{self.root}: {told}, and are taken', 'current')
        for video in kept:
            count = max(1, round(video.duration / self.untrimmed_sec))
            ends = np.linspace(0, video.duration, count + 1).tolist()
            for i, span in enumerate(pairwise(ends)):
                own = {'clip': f'{video.video}#{i}', 'span': span}
                rows.append(self._facts(video) | own)
        return [{**row, 'label': -1, 'body': -1} for row in rows]

    def _describe(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        taken = {(row['domain'], row['subset']) for row in rows}
        own = {d: [s for s in SUBSETS if (d, s) in taken] for d in self.root.domains[0]}
        told = [f'{", ".join(subsets)} of {d}' for d, subsets in own.items() if subsets]
        return super()._describe(rows) | {'unlabelled': '; '.join(told)}
