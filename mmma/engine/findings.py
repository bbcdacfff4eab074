"""Findings in a video, and the files that hold them.

The JSON file has everything and is written last; it says what made it, so that what is
whole and was made in the same way need not be made again. The CSV file has one row per
finding.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.data.joints import WHOLEBODY65
from mmma.files import SHOWN, atomic_write, read_json, write_file
from mmma.foreign import Shown, spreadsheet
from mmma.structures.segments import FrameScores
from mmma.taxonomy import LabelSpace, check_choice
from mmma.video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from mmma.media.pose import Partial

SCHEMA = 'mmma-infer 1'
PAGE_VIDEO = '.page.mp4'
"""How the copy of a video ends that a page shows where browsers need one."""
DRAWN_VIDEO = '.draw.mp4'
FRAMES = '.frames.csv'
"""How the scores of all frames end that a dense head gives."""
_OURS = PAGE_VIDEO, DRAWN_VIDEO, FRAMES, '.annotations.csv'
MOST_BELOW = 500
COLUMNS = (
    *('task', 'start_sec', 'end_sec', 'action', 'body'),
    *('score', 'abstained', 'simulated', 'model'),
)
_FEET = WHOLEBODY65.names.index('left_big_toe')  # what lies before is the body
_time = attrgetter('start_sec', 'end_sec')


@dataclass(frozen=True)
class InferenceOptions:
    """Ways to look at a video; what is said of them is the command's help.

    Attributes:
        threshold (T): lowest score that counts (default: 0 for clips; for segments what
            the model's validation chose, or 0.2)
        device (cpu|cuda|cuda:N): None takes the GPU if there is one.
        private: no network, no names: see above
        allow_simulated: use weights that were trained on simulated data
        allow_extractor: use skeletons of another extractor than the weights were
            trained on
        pose_backend (mediapipe|rtmlib|litert): What finds joints.
        pose_models (DIR): rtmlib: det.onnx and pose.onnx; litert: its archives
        persons: rtmlib: most per video
        smooth: mediapipe: smooth the body over time
        skeletons (ROOT): those of a data root, whose videos these are

    Raises:
        ValueError: A threshold outside [0, 1], or a device that is not there.
    """

    threshold: float | None = None
    device: str | None = None
    private: bool = False
    allow_simulated: bool = False
    allow_extractor: bool = False
    pose_backend: str = 'mediapipe'
    pose_models: Path | None = None
    persons: int = 1
    smooth: bool = False
    skeletons: Path | None = None

    def __post_init__(self) -> None:
        import torch

        if not 0 <= (self.threshold or 0) <= 1:
            raise ValueError(f'threshold {self.threshold}: use a score from 0 to 1.')
        gpus = [f'cuda:{i}' for i in range(torch.cuda.device_count())]
        allowed = ('cpu', *(['cuda'] if gpus else []), *gpus)
        check_choice('device', self.device or 'cpu', allowed)


@dataclass(frozen=True)
class ModelCard:
    """Facts of a model.

    Attributes:
        sha256: Of the weights' file.
        config_sha256: Of the resolved config.
        trained_on: Name of the data, if the weights tell; they may be ``simulated``.
        extractor: What finds the joints for it; None for pictures.
        calibration: Of its scores, as ``calibration.read_calibration`` gives it.
    """

    name: str
    task: str
    modality: str
    sha256: str
    config: str
    config_sha256: str
    label_space: str
    trained_on: str | None
    simulated: bool
    extractor: str | None
    calibration: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """An action or a body group, when, and how sure the model is.

    Attributes:
        start_sec: Seconds from the first frame.
        end_sec: Exclusive.
        action: Its name; None of a body group, and where the model abstains.
        body: Name of the body group; None where the model abstains or knows none.
        score: Probability, in [0, 1]: calibrated, if the model is.
        raw_score: What the model gives, where that is not the score.
    """

    start_sec: float
    end_sec: float
    action: str | None
    body: str | None
    score: float
    raw_score: float | None = None


@dataclass(frozen=True)
class Answer(Shown):
    """Answer of a model about a video.

    Attributes:
        video: ``frames`` that are shown, mean ``fps``, ``duration_sec`` from the first
            frame's appearance to the last one's end, and ``first_frame_sec``, the time
            stamp of the first frame in the file. Every other time is counted from this
            frame, as in ``det.json``.
        actions: All actions for a recognizer, for a detector the segments from the
            threshold on; the best first.
        bodies: Body groups, likewise.
        abstained: Nobody is seen, or the best score of a recognizer is below the
            threshold.
        threshold: From which score an action is named, or a segment kept.
        dropped: Segments below the threshold.
        notes: What to bear in mind.
        skeletons: Of the video, if the model sees those.
        chosen_on: Who chose the threshold: ``the user``, ``default``, or a validation.
        frames: Scores of all frames, by a dense head, and their label space.
        below: Segments below the threshold and from a quarter of it on, at most
            ``MOST_BELOW``, best first: what a page shows when its threshold moves.
    """

    model: ModelCard
    video: dict[str, Any]
    actions: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    abstained: bool
    threshold: float
    dropped: int = 0
    notes: tuple[str, ...] = ()
    skeletons: Partial | None = field(default=None, repr=False, compare=False)
    chosen_on: str = 'the user'
    below: tuple[Finding, ...] = ()
    frames: tuple[FrameScores, LabelSpace] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def simulated(self) -> bool:
        """True if the weights have only ever seen simulated people."""
        return self.model.simulated

    @property
    def answer(self) -> Finding:
        """The likeliest action of a clip; without a name where the model abstains."""
        best = self.actions[0]
        return replace(best, action=None, body=None) if self.abstained else best

    @property
    def segments(self) -> tuple[Finding, ...]:
        """Rows of the table: actions of a detector, or the answer of a recognizer."""
        return self.actions if self.model.task == 'det' else (self.answer,)

    def _rows(self) -> Any:
        told = {'model': self.model.name, 'simulated': self.simulated}
        return [
            {**asdict(f), 'abstained': self.abstained, **told} for f in self.actions
        ]

    def _bars(self) -> Any:
        det, mark = self.model.task == 'det', ', by simulated weights' * self.simulated
        yield ('seconds' if det else 'score') + mark
        for f in self.actions if det else self.actions[:5]:
            span = (f.start_sec, f.end_sec) if det else (0, f.score)
            yield f.action, *span, f'{f.score:.2f}'


def summary(answers: Sequence[Answer]) -> str:
    """One line on what all models found."""
    parts = []
    for found in answers:
        if found.model.task == 'rec':
            text = f'{found.answer.action or "abstained"} {found.answer.score:.2f}'
        else:
            text = f'{len(found.actions)} segments, {found.dropped} below threshold'
            best = f'the best {found.below[0].score:.3g}' if found.below else ''
            least = f' {found.threshold:.3g}, {best or "all below a quarter of it"}'
            text += least * bool(found.dropped)
        parts.append(text + (' [simulated]' if found.simulated else ''))
    return '; '.join(parts)


def body_seen(skeletons: Partial) -> float:
    """Share of the frames in which a body was found, in [0, 1]."""
    scores = skeletons.joints[:, :, :_FEET, 2]  # (T, M, 17)
    return float((scores > 0).any(axis=(1, 2)).mean())


def find_videos(
    given: Sequence[Path], private: bool
) -> tuple[dict[Path, tuple[str, str]], list[str]]:
    """Video files that the user means, and notes on what was left out of folders.

    A video has what messages call it (``private``: its number), and the name of its
    outputs: its stem, below a folder that was given with the subfolders, and with the
    suffix where two are equal. Files whose outputs would be one raise ValueError,
    nothing there, or no video in a folder, FileNotFoundError.
    """
    files: dict[Path, tuple[Path, Path]] = {}
    notes: list[str] = []
    for number, path in enumerate(given, start=1):
        found = [path]
        what = f'input {number} of {len(given)}' if private else str(path)
        if path.is_dir():
            inside = sorted(f for f in path.rglob('*') if f.is_file() or f.is_symlink())
            found = [f for f in inside if f.suffix.lower() in VIDEO_SUFFIXES]
            found = [f for f in found if not f.name.endswith(_OURS)]
            shown = (f for f in found if f.is_file())  # macOS adds hidden ._a.mp4
            found = [f for f in shown if '/.' not in f'/{f.relative_to(path)}']
            rest = [f for f in inside if not f.name.endswith(_OURS) and f not in found]
            if left := [str(f.relative_to(path)) for f in rest]:
                names = '' if private else f': {", ".join(left[:SHOWN])}'
                names += ', ...' if names and len(left) > SHOWN else ''
                count = f'{len(left)} other file{"s"[: len(left) > 1]}'
                notes.append(f'{what}: {count} left out{names}')
        elif not path.is_file():
            raise FileNotFoundError(f'{what}: no such video file or folder')
        if not found:
            raise FileNotFoundError(
                f'{what}: no video in this folder ({", ".join(VIDEO_SUFFIXES)})'
            )
        top = path if path.is_dir() else path.parent
        for file in found:
            files.setdefault(file.absolute(), (file, file.relative_to(top)))
    videos, first = {}, {}
    stems = Counter(name.with_suffix('') for _, name in files.values())
    for i, (path, name) in enumerate(files.values(), start=1):
        label = f'video {i} of {len(files)}' if private else str(path)
        stem = str(name if stems[name.with_suffix('')] > 1 else name.with_suffix(''))
        stem = f'video-{i}' if private else stem
        videos[path] = label, stem
        if first.setdefault(stem, label) != label:
            raise ValueError(
                f'{first[stem]} and {label} have the same name, so that their outputs '
                'would be the same files: rename one, or use another --out for it.'
            )
    return videos, notes


def made_before(
    folder: Path, stem: str, request: Mapping[str, Any], label: str
) -> bool:
    """True if both files of a video were made as requested; others': ValueError."""

    def check(ours: bool, kind: str) -> None:
        if not ours:
            raise ValueError(
                f'{label}: the output folder has a {kind} file of its stem that '
                'another program wrote: choose another --out.'
            )

    whole, rows = folder / f'{stem}.json', folder / f'{stem}.csv'
    heads = {rows: ','.join(COLUMNS), folder / f'{stem}{FRAMES}': 'seconds'}
    for path, head in heads.items():
        if path.is_file():
            with path.open(encoding='utf-8', errors='replace') as file:
                check(f'{file.readline().strip()},'.startswith(f'{head},'), 'CSV')
    if not whole.is_file():
        return False
    try:
        content = read_json(whole)
    except ValueError:
        content = None
    ours = isinstance(content, dict) and content.get('schema') == SCHEMA
    check(ours and isinstance(content.get('request'), dict), 'JSON')
    made, named = content['request'], 'path' in request['options']
    if not named and made.get('video') != request.get('video'):
        raise ValueError(
            f'{label}: the output folder has a {stem}.json of another video: choose '
            'another --out, or give the same videos in the same order.'
        )
    return made == request and rows.is_file()


def write_findings(
    folder: Path, stem: str, answers: Sequence[Answer], facts: Mapping[str, Any]
) -> None:
    """Write the files of a video; facts: ``request``, ``top_k``, perhaps ``path``."""
    whole, dense = folder / f'{stem}.json', folder / f'{stem}{FRAMES}'
    dense.unlink(missing_ok=True)
    for frames, space in filter(None, (result.frames for result in answers)):
        with atomic_write(dense) as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(('seconds', *map(spreadsheet, space.actions)))
            scores = frames.scores[0][:, : space.num_actions].tolist()
            for i, row in enumerate(scores):
                writer.writerow([f'{i / frames.rate:.3f}', *map('{:.4f}'.format, row)])
    with atomic_write(folder / f'{stem}.csv') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(COLUMNS)
        for result in answers:
            told = [str(flag).lower() for flag in (result.abstained, result.simulated)]
            for f in sorted(result.segments, key=_time):
                row = [f'{f.start_sec:.3f}', f'{f.end_sec:.3f}', f.action or '']
                row += [f.body or '', f'{f.score:.4f}', *told, result.model.name]
                writer.writerow(map(spreadsheet, [result.model.task, *row]))
        whole.unlink(missing_ok=True)  # of other answers than the rows
    told = json.dumps(_describe(answers, facts), indent=1, ensure_ascii=False)
    write_file(whole, told + '\n')


def _describe(answers: Sequence[Answer], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of the JSON file."""
    path = {'path': facts['path']} if 'path' in facts else {}
    content: dict[str, Any] = {'schema': SCHEMA, 'video': {**path, **answers[0].video}}
    content['time'] = 'seconds from the first frame'
    content['simulated'] = any(result.simulated for result in answers)
    for result in answers:
        if result.skeletons is not None:
            seen = body_seen(result.skeletons)
            extractor = result.model.extractor
            content['skeletons'] = {'extractor': extractor, 'body_found': seen}
    for result in answers:
        own: dict[str, Any] = {'model': asdict(result.model)}
        own |= {k: getattr(result, k) for k in ('simulated', 'abstained', 'threshold')}
        own |= {'threshold_chosen_on': result.chosen_on, 'notes': [*result.notes]}
        if result.model.task == 'det':
            content['detection'] = own
            times = ('start_sec', 'end_sec')
            own['below_threshold'] = result.dropped
            lists = dict(segments=result.actions, below=result.below)
            for key, told in {**lists, 'bodies': result.bodies}.items():
                own[key] = [_named(found, *times) for found in sorted(told, key=_time)]
        else:
            content['recognition'] = own
            own.update(asdict(result.answer))
            own['actions'] = [_named(f) for f in result.actions[: facts['top_k']]]
            own['bodies'] = [_named(found) for found in result.bodies]
    content['request'] = facts['request']
    return content


def _named(found: Finding, *times: str) -> dict[str, Any]:
    named = (key for key in ('action', 'body') if getattr(found, key))
    keys = (*times, *named, 'score', 'raw_score')
    return {key: getattr(found, key) for key in keys}
