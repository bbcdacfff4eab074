"""Findings as files: JSON with everything, CSV with one row per finding.

The JSON is written last and says what made it, so that what is whole and was made in
the same way need not be made again.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmma import __version__
from mmma.engine.inference import VideoModel
from mmma.engine.inference_results import Detection, Finding, Recognition
from mmma.engine.inference_video import Skeletons, VideoFile
from mmma.layout.paths import atomic_write
from mmma.packing.journal import source_identity

SCHEMA = 'mmma-infer 1'
COLUMNS = (
    *('task', 'start_sec', 'end_sec', 'action', 'body'),
    *('score', 'abstained', 'simulated', 'model'),
)
_HEADER = ','.join(COLUMNS)
_KIND = {'rec': 'recognition', 'det': 'detection'}


@dataclass(frozen=True)
class VideoFindings:
    """What was found in a video.

    Attributes:
        file: The video.
        results: Of each model.
        skeletons: Of the video, if a model asked for them.
    """

    file: VideoFile
    results: tuple[Recognition | Detection, ...]
    skeletons: Skeletons | None = None


@dataclass(frozen=True)
class Outputs:
    """Where the findings of a video go.

    Args:
        folder: Of the user.
        stem: Name of the video without its suffix.
        label: What messages call the video.
    """

    folder: Path
    stem: str
    label: str

    @property
    def json(self) -> Path:
        """Everything."""
        return self.folder / f'{self.stem}.json'

    @property
    def csv(self) -> Path:
        """One row per finding."""
        return self.folder / f'{self.stem}.csv'

    def made_with(self, request: Mapping[str, Any]) -> bool:
        """Whether both files are there and were made in a given way.

        Args:
            request: From :func:`describe_request`.

        Raises:
            ValueError: A file of that name is of another program.
        """
        made = self._content()
        return made is not None and made['request'] == request and self.csv.is_file()

    def _content(self) -> dict[str, Any] | None:
        if self.csv.is_file():
            with self.csv.open(encoding='utf-8', errors='replace') as file:
                self._check(file.readline().strip() == _HEADER, 'CSV')
        if not self.json.is_file():
            return None
        try:
            content = json.loads(self.json.read_text('utf-8'))
        except ValueError:
            content = None
        ours = isinstance(content, dict) and content.get('schema') == SCHEMA
        self._check(ours, 'JSON')
        return content

    def _check(self, ours: bool, kind: str) -> None:
        if not ours:
            raise ValueError(
                f'{self.label}: the output folder has a {kind} file of its stem that '
                'another program wrote: choose another --out.'
            )

    def write(self, findings: VideoFindings, facts: Mapping[str, Any]) -> None:
        """Write both files; each appears whole, the JSON last.

        Args:
            findings: Of the video.
            facts: ``request``, ``top_k``, and ``path`` unless it is private.
        """
        with atomic_write(self.csv) as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(COLUMNS)
            writer.writerows(csv_rows(findings))
        with atomic_write(self.json) as file:
            content = describe(findings, facts)
            file.write(json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def describe_request(
    video: Path, models: Sequence[VideoModel], **more: Any
) -> dict[str, Any]:
    """What findings depend on: file, models, options and version.

    Args:
        video: An existing file; size and time of change stand for what is in it.
        models: In order.
        more: Further options.
    """
    chosen = asdict(models[0].options)
    for key in ('device', 'private', 'pose_models'):  # where, and not what
        del chosen[key]
    request = {
        'mmma_version': __version__,
        'video': source_identity(video),
        'models': [asdict(model.card) for model in models],
        'options': {**chosen, **more},
    }
    return json.loads(json.dumps(request))  # as it reads back


def csv_rows(findings: VideoFindings) -> Iterator[list[str]]:
    """Rows of the CSV file: one per clip, one per segment.

    Args:
        findings: Of the video.
    """
    for result in findings.results:
        rows = [result.answer] if isinstance(result, Recognition) else result.segments
        for found in rows:
            yield [
                result.model.task,
                f'{found.start_sec:.3f}',
                f'{found.end_sec:.3f}',
                found.action or '',
                found.body or '',
                f'{found.score:.4f}',
                _word(result.abstained),
                _word(result.simulated),
                result.model.name,
            ]


def _word(flag: bool) -> str:
    return 'true' if flag else 'false'


def describe(findings: VideoFindings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of the JSON file.

    Args:
        findings: Of the video.
        facts: As :meth:`Outputs.write` takes them.
    """
    file, skeletons = findings.file, findings.skeletons
    content: dict[str, Any] = {'schema': SCHEMA}
    content['video'] = {
        **({'path': facts['path']} if 'path' in facts else {}),
        'frames': file.frames,
        'fps': file.fps,
        'duration_sec': file.duration_sec,
        'first_frame_sec': file.first_frame_sec,
    }
    content['time'] = 'seconds from the first frame'
    content['simulated'] = any(result.simulated for result in findings.results)
    if skeletons is not None:
        content['skeletons'] = {
            'extractor': skeletons.extractor,
            'body_found': skeletons.body_found,
        }
    for result in findings.results:
        content[_KIND[result.model.task]] = _result(result, facts['top_k'])
    content['request'] = facts['request']
    return content


def _result(result: Recognition | Detection, top_k: int) -> dict[str, Any]:
    shared = {
        'model': asdict(result.model),
        'simulated': result.simulated,
        'abstained': result.abstained,
        'threshold': result.threshold,
        'notes': list(result.notes),
    }
    if isinstance(result, Recognition):
        answer = result.answer
        return {
            **shared,
            'start_sec': answer.start_sec,
            'end_sec': answer.end_sec,
            'action': answer.action,
            'body': answer.body,
            'score': answer.score,
            'actions': [_scored(found) for found in result.actions[:top_k]],
            'bodies': [_scored(found) for found in result.bodies],
        }
    return {
        **shared,
        'below_threshold': result.dropped,
        'segments': [_segment(found) for found in result.segments],
        'bodies': [_segment(found) for found in result.bodies],
    }


def _scored(found: Finding) -> dict[str, Any]:
    named = {'action': found.action} if found.action else {}
    return {**named, 'body': found.body, 'score': found.score}


def _segment(found: Finding) -> dict[str, Any]:
    times = {'start_sec': found.start_sec, 'end_sec': found.end_sec}
    return {**times, **_scored(found)}
