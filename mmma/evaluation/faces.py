"""Emotions from the face, by score files of anybody, alone and with micro-actions.

A CSV file has scores of frames or of videos, of all videos or of one; its forms stand
in ``tables/face_scores.json``. Scores of a frame are scaled to add up to 1; those of a
video are their mean over its frames with a face. Only then classes that the data lack,
such as neutral, are dropped and the rest scaled anew: neutral frames say little.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.clips import name_parts
from mmma.data.videos import Video
from mmma.evaluation import scores as files
from mmma.evaluation.form import check_value
from mmma.evaluation.scores import first_of
from mmma.files import read_json, read_table
from mmma.foreign import finite
from mmma.structures.segments import FloatArray
from mmma.taxonomy import load_label_space, own_table

_MOST = 5.0  # intensity of an action unit
Scores = Mapping[str, FloatArray]  # of the (E,) emotions, by video


def read_faces(
    path: Path,
    units: Mapping[str, str],
    emotions: Sequence[str],
    form: str | None = None,
    mapping: Path | None = None,
) -> tuple[Scores, dict[str, Any]]:
    """Scores of each video with a face, from a file or a folder, and what was read.

    Of several faces in a frame the largest counts, of equals the surest; an emotion
    without a class of the face gets a floor. ``units`` are of ``unit_names``,
    ``form`` is for headers that do not tell, ``mapping`` goes before the shipped table.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It cannot be read, or is of other videos or emotions.
    """
    table, strange, best = own_table('face_scores'), set(), defaultdict(list)
    own = table['mapping']
    check_value(given := read_json(mapping) if mapping else {}, {}, f'{mapping}')
    for key, entries in given.items():
        if key not in own:
            raise ValueError(f'{mapping}: {key!r}: use {", ".join(own)}')
        check_value(entries, own[key], f'{mapping}: {key}')
        table[key] |= entries
    classes = sorted({*table['columns'].values()})
    frames: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for file in sorted(path.glob('*.csv')) or [path]:
        for name, frame, faces in _read_rows(file, table, classes, form):
            unit = units.get(name, units.get(name_parts(name)[-1]))
            strange |= {name} if unit is None else set()
            if unit:
                frames[unit, name, frame] += faces
    if len(strange) >= len(known := {unit for unit, *_ in frames}):
        told = f'{path}: scores of {len(known)} videos with an emotion, {len(strange)}'
        names = f'{first_of(sorted(strange))}; use the names there'
        raise ValueError(f'{told} are not in the data: {names}')
    for (unit, *_), faces in frames.items():
        best[unit] += [max(faces, key=lambda face: face[0])[1]] if faces else []
    means = {unit: np.mean(own, axis=0) for unit, own in best.items() if own}
    there = {c for i, c in enumerate(classes) if any(m[i] for m in means.values())}
    low = [emotion.lower() for emotion in emotions]
    named = [table['emotions'].get(e, table['columns'].get(e)) for e in low]
    if not {*named} & there:
        told = f'none of {sorted(there) or "0 faces"} is one of {first_of(emotions)}'
        raise ValueError(f'{path}: {told}: say which is with --face-mapping')
    whole = np.array([[c == own for own in named] for c in classes], np.float64)
    whole /= np.maximum(whole.sum(axis=1, keepdims=True), 1)
    scores = {u: own for u, mean in means.items() if any(own := mean @ whole)}
    lacks = [e for e, own in zip(emotions, named, strict=True) if own not in there]
    return {u: np.maximum(m / m.sum(), files.FLOOR) for u, m in scores.items()}, {
        'file': path.as_posix(),
        'frames': len(frames),
        'frames_without_face': sum(not faces for faces in frames.values()),
        'frames_of_several_faces': sum(len(faces) > 1 for faces in frames.values()),
        'emotions_without_class': lacks,
        'classes_dropped': sorted(there - {*named}),
        'unknown_videos': sorted(strange),
    }


def _read_rows(
    file: Path, table: Mapping[str, Any], classes: Sequence[str], form: str | None
) -> Iterator[tuple[str, str, list[Any]]]:
    """Video, frame and faces (rank, scores of classes) of each row."""
    header, lines = read_table(file)
    names = [name.lower() for name in header]
    for own, mark in table['formats'].items():
        form = form or (own if any(re.fullmatch(mark, n) for n in names) else None)
    weights = defaultdict(lambda: np.zeros((len(names), len(classes))))  # by face
    for i, name in enumerate(names if form != 'openface' else ()):
        word, face = re.fullmatch(r'(?:emotion[._])?(.*?)(\d*)', name).groups()
        own = table['columns'].get(name, table['columns'].get(word))
        if own and (form == 'fer' or not face):
            weights[face][i, classes.index(own)] = 1
    for own, numbers in table['units'].items() if form == 'openface' else ():
        at = [names.index(n) for n in map('au{:02}_r'.format, numbers) if n in names]
        weights[''][at, classes.index(own)] = 1 / (_MOST * max(len(at), 1))
    if not form or not weights:
        told = f'no column has scores of a face ({first_of(header)}): it needs AU01_r, '
        told += f'... or {", ".join(table["columns"])}; name others with --face-mapping'
        raise ValueError(f'{file}:1: {told} (docs/emotion.md)')
    places = {face: np.flatnonzero(own.any(axis=1)) for face, own in weights.items()}
    keys = [table['places'].get(name, name) for name in names]
    last: set[str] = set()
    for line, cells in lines:
        texts, faces = cells, []
        try:
            row = {k: text for k, text in zip(keys, cells, strict=True) if text}
            seen, sure = finite(row.get('seen', '1')), finite(row.get('sure', '1'))
            for face, at in places.items():
                texts = [cells[i] for i in at]
                if not (seen and sure and any(texts)):
                    continue
                scores = np.array([*map(finite, texts)]) @ weights[face][at]
                if form == 'openface':
                    scores[classes.index('neutral')] = max(0.0, 1 - scores.max())
                if scores.min() < 0 or not scores.any():
                    raise ValueError
                sides = re.findall(r'[\d.]+', row.get(f'box{face}', ''))[2:]
                sides = sides or [row.get('width', '0'), row.get('height', '0')]
                rank = np.prod([*map(finite, sides)]), sure
                faces.append((rank, scores / scores.sum()))
        except ValueError:
            told = f'{file}:{line}: {", ".join(texts[:20])}: need {len(header)} cells, '
            told += 'finite scores, none below 0, not all 0; without a face all empty'
            raise ValueError(told) from None
        name = row.get('video', file.stem)
        frame = row.get('frame', str(line) if form == 'fer' else '')
        if not frame and name in last:
            told = f'{file}:{line}: a second row of {name!r}, and no frame or time_sec'
            raise ValueError(f'{told}: add one, to tell frames from faces')
        last.add(name)
        yield name, frame, faces + [((-1, 0), None)] * int(bool(faces) and seen - 1)


def recognizer_scores(
    sources: Sequence[Any], units: Mapping[str, str], emotions: Sequence[str]
) -> Scores:
    """Scores of each video, the mean of its clips, of tables or files of them."""
    actions = [{'name': emotion} for emotion in emotions]
    space = load_label_space({'name': 'emotions', 'actions': actions})
    read = (files.read_scores(s, space) if isinstance(s, Path) else s for s in sources)
    table = files.join_tables([*read])
    if strange := [name for name in table.names if name not in units]:
        told = f'{len(strange)} scores are of no clip or video of the data'
        raise ValueError(f'{sources[0]}: {told}: {first_of(strange)}')
    of = np.array([units[name] for name in table.names])
    return {unit: table.scores[of == unit].mean(axis=0) for unit in {*of} - {''}}


def action_scores(
    x: FloatArray, videos: Sequence[Video], emotions: Sequence[str], model: Any
) -> Scores:
    """Scores of each video by a model that is fitted to the ``train`` videos alone."""
    rows = [i for i, video in enumerate(videos) if video.subset == 'train']
    labels = [emotions.index(videos[i].emotion) for i in rows]
    if len({*labels}) < 2:
        told = f'{len(rows)} train videos have {len({*labels})} emotions: two must be'
        raise ValueError(f'{told} there to fit a classifier; or give --scores')
    scores = np.zeros((len(videos), len(emotions)))
    scores[:, np.unique(labels)] = model.fit(x[rows], labels).predict_proba(x)
    return {v.video: own for v, own in zip(videos, scores, strict=True)}
