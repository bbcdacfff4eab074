"""Pages for videos: what ``infer.py`` found, to look at in a browser.

A page is one file that loads nothing but the video. It is made of the JSON file of the
video; everything in it that others wrote is data in one block of JSON, which the page's
script puts into the page as text.
"""

import base64
import hashlib
import html
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from mmma import __version__
from mmma.engine.findings import FRAMES, PAGE_VIDEO, SCHEMA
from mmma.files import read_json, write_file
from mmma.foreign import called, naming, shown
from mmma.media.encode import PackOptions, pack_video
from mmma.packets import broken_by_damage, index_video, open_container, video_stream
from mmma.taxonomy import LabelSpace

PARTS = Path(__file__).parents[1] / 'pages'
MARK = '<!DOCTYPE html><!-- mmma page '
"""How a page of ours begins; only such a file is ever replaced."""
OF_ALL = f'{MARK}of a folder -->'
COPY = PackOptions(short_side=720, gop=30, crf=23)
"""Of the copy of a video that browsers do not show: for people, not for models."""
MOST_PLACES = 20_000
"""Of a curve of frames: 22 minutes at 15 per second whole, then the best of several."""
_CONTAINERS = {'.mp4': 'mp4', '.m4v': 'mp4', '.webm': 'webm'}
_CODECS = ('h264', 'vp8', 'vp9', 'av1')
_PIXELS = ('yuv420p', 'yuvj420p')


def page_path(folder: Path, stem: str) -> Path:
    """File of a video's page; ``index.html`` is that of the folder.

    Raises:
        ValueError: Another program's file has this name.
    """
    own = f'{stem} (video)' if stem.lower() == 'index' else stem
    path = folder / f'{own}.html'
    _require_ours(path)
    return path


def _require_ours(path: Path) -> None:
    if path.exists() and not read_head(path).startswith(MARK):
        raise ValueError(
            f'{path.name}: the output folder has a page of this name that another '
            'program wrote: choose another --out.'
        )


def read_head(path: Path) -> str:
    """The first line of a page, which tells whose it is and of which file."""
    with path.open(encoding='utf-8', errors='replace') as file:
        return file.readline(200).strip()


def write_page(
    folder: Path, stem: str, video: Path, space: LabelSpace, private: bool = False
) -> Path:
    """Make the page of a video that was looked at, and a copy where browsers need one.

    Args:
        folder: With ``<stem>.json``, as ``write_findings`` made it.
        video: The file itself.
        space: Label space of the model, whose groups are the lanes.
        private: Show a copy without name and sound: the file's name may tell who it is.

    Raises:
        ValueError: The JSON is none of ours, the page would replace a file of another
            program, or the video cannot be copied.
    """
    content = read_json(folder / f'{stem}.json', 'schema', 'video', 'request')
    page, request = page_path(folder, stem), content['request']['video']
    told = json.dumps([request, __version__, private, 'sound'], sort_keys=True)
    head = f'{MARK}{hashlib.sha256(told.encode()).hexdigest()[:16]} -->'
    source, copied = video.absolute(), page.with_name(page.stem + PAGE_VIDEO)
    why = why_copied(video, content['video']) if not private else 'its name is private'
    if why:
        known = page.exists() and read_head(page) == head and copied.is_file()
        if not known:
            page.unlink(missing_ok=True)  # it would vouch for the copy
            pack_video(video, copied, COPY, sound=not private)
        source = copied.absolute()
    try:
        place = os.path.relpath(source.parent.resolve(), page.parent.resolve())
        link = quote(Path(place, source.name).as_posix(), errors='surrogateescape')
    except ValueError:  # on another drive
        link = source.as_uri()
    facts = {'link': link, 'copied': why, 'stem': Path(stem).name, 'video': stem}
    facts |= frame_curves(folder / f'{stem}{FRAMES}', space)
    facts |= {'file': '' if private else video.name, 'private': private}
    known = json.dumps(request, sort_keys=True).encode()
    facts['identity'] = hashlib.sha256(known).hexdigest()[:16]  # edits are kept by it
    data = page_data(content, facts, space, video)
    write_file(page, fill_page(facts['stem'], data, head))
    return page


def why_copied(video: Path, facts: Mapping[str, Any]) -> str:
    """Why browsers do not show a file as it is; empty where they do.

    They play few formats, and do not agree on where a file begins whose first frame is
    not shown at 0.
    """
    with open_container(video) as container, broken_by_damage(video):
        context = video_stream(container).codec_context
        kind = _CONTAINERS.get(video.suffix.lower(), '-')
        if kind not in container.format.name or context.name not in _CODECS:
            return f'browsers do not play {context.name} in {container.format.name}'
        pixels = context.format and context.format.name
        if pixels not in _PIXELS:
            return f'browsers do not play {context.name} of {pixels}'
    if abs(facts['first_frame_sec']) > 0.5 / facts['fps']:
        return f'its first frame is shown at {facts["first_frame_sec"]:.3f} s'
    return ''


def frame_curves(file: Path, space: LabelSpace) -> dict[str, Any]:
    """Best score of each group's actions over time, percent, of a table of frames.

    There are at most MOST_PLACES, evenly spaced; without the table there is nothing.
    """
    if not file.is_file():
        return {}
    with naming(file):
        table = np.loadtxt(file, delimiter=',', skiprows=1, ndmin=2, encoding='utf-8')
        if table.shape[1] != 1 + space.num_actions:
            told = f'{space.num_actions} actions, as infer.py writes them'
            raise ValueError(f'{table.shape[1]} columns: use seconds and {told}')
    starts = np.unique(np.linspace(0, len(table), MOST_PLACES, False).astype(int))
    best = np.maximum.reduceat(100 * table[:, 1:], starts)
    groups = np.array(space.body_of or [0] * space.num_actions)
    curves = {
        name: best[:, groups == group].max(axis=1, initial=0).round().astype(int)
        for group, name in enumerate([*space.bodies] or ['actions'])
    }
    return {'curves': {name: own.tolist() for name, own in curves.items()}}


def page_data(
    content: Mapping[str, Any], facts: Mapping[str, Any], space: LabelSpace, video: Path
) -> dict[str, Any]:
    """What the script of a page reads; the content is that of a JSON of infer.py."""
    groups = [space.bodies[own] for own in space.body_of] or ['actions'] * len(
        space.actions
    )
    found = content.get('detection')
    data = {**facts, 'simulated': bool(content['simulated']), 'version': __version__}
    data['times'] = {k: content['video'][k] for k in ('duration_sec', 'fps', 'frames')}
    times_sec = index_video(video).times_sec
    if len(times_sec) > 2 and np.ptp(np.diff(times_sec)) > 0.1 / data['times']['fps']:
        data['frame_times'] = times_sec.round(4).tolist()  # for steps of a frame
    data['bodies'] = [*space.bodies] or ['actions']
    data['actions'] = [*zip(space.actions, groups, strict=True)]
    whole = {'start_sec': 0.0, 'end_sec': content['video']['duration_sec']}
    models, rows, threshold = [], [], 0.0
    for task in ('recognition', 'detection'):
        if own := content.get(task):
            model = {key: own['model'][key] for key in ('name', 'trained_on')}
            model |= {'task': task, 'simulated': bool(own['simulated'])}
            chosen = {'threshold': own['threshold'], 'on': own['threshold_chosen_on']}
            models.append({**model, **chosen, 'notes': own['notes']})
    if found:
        rows = [*found['segments'], *found.get('below', [])]
        threshold = found['threshold']
        data['left_out'] = found['below_threshold'] - len(found.get('below', []))
    if own := content.get('recognition'):
        rows = rows if found or not own['action'] else [{**own, **whole}]
        data['whole'] = [[one['action'], one['score']] for one in own['actions']]
        data['abstained'] = own['abstained']
    keys = 'start_sec', 'end_sec', 'action', 'body', 'score'
    items = [[one.get(key) for key in keys] for one in rows if one['action']]
    data |= {
        'models': models,
        'threshold': threshold,
        'items': sorted(items, key=lambda item: item[:2]),
    }
    told = json.dumps(data, sort_keys=True, default=str)
    return {**data, 'key': hashlib.sha256(told.encode()).hexdigest()[:16]}


def embedded(data: Any) -> str:
    """JSON that stands in a page: no letter of it can end the block it stands in."""
    text = json.dumps(data)  # ASCII alone: no turned or broken lines either
    for letter in '<>&':
        text = text.replace(letter, f'\\u{ord(letter):04x}')
    return text


def fill_page(title: str, data: Any = None, head: str = OF_ALL, **more: str) -> str:
    """A page of its parts; what stands in a place is not searched for places."""
    style, script = (
        called((PARTS / f'video.{kind}').read_text('utf-8').strip())
        for kind in ('css', 'js')
    )
    page = (PARTS / ('index.html' if data is None else 'video.html')).read_text('utf-8')
    places = {'title': html.escape(shown(title)), 'style': style, 'script': script}
    places |= {'data': embedded(data), 'connect': '', 'style-hash': _hash(style)}
    places |= {'script-hash': _hash(script), 'version': __version__, **more}
    body = re.sub(r'\{\{([a-z-]+)\}\}', lambda m: places[m[1]], page)
    return f'{head}\n{body}'


def _hash(text: str) -> str:
    """What a content security policy calls a block of a page."""
    own = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(own).decode()}'"


def write_index(folder: Path) -> Path:
    """Make ``index.html``: all answers below a folder that have a page.

    Another program's ``index.html`` raises ValueError.
    """
    _require_ours(folder / 'index.html')
    rows, files = [], sorted(f for f in folder.rglob('*.json') if f.is_file())
    for file in files:
        stem = file.relative_to(folder).with_suffix('').as_posix()
        try:
            page, content = page_path(folder, stem), read_json(file)
            if content.get('schema') == SCHEMA and page.is_file():
                rows.append(_row(stem, page.relative_to(folder).as_posix(), content))
        except (AttributeError, ValueError):
            continue  # no answer of ours
    note = 'Segments from the threshold of the run on; each page can be corrected.'
    own = {'a': 'Length', 'b': 'Segments', 'c': 'Per minute', 'note': note}
    text = fill_page('Videos', rows='\n'.join(rows), **own)
    write_file(folder / 'index.html', text)
    return folder / 'index.html'


def _row(stem: str, page: str, content: Mapping[str, Any]) -> str:
    """The row of a video: what was found, how often."""
    length = content['video']['duration_sec']
    found, whole = (content.get(key) for key in ('detection', 'recognition'))
    told = [one['action'] for one in found['segments']] if found else []
    numbers = (len(told), f'{60 * len(told) / length:.1f}') if found else ('–', '–')
    if whole and not found:
        told = whole['action'] or 'abstained'
    minutes, seconds = divmod(length, 60)
    cells = f'{minutes:.0f}:{seconds:04.1f}', *numbers, told
    return index_row(stem, page, cells, content['simulated'])


def index_row(stem: str, page: str, cells: Sequence[Any], simulated: bool) -> str:
    """A row of the table of ``index.html``: a video, three cells, a text or labels."""
    *cells, last = cells
    if isinstance(last, list):
        most = Counter(sorted(last)).most_common(3)
        last = ', '.join(f'{name} ({count})' for name, count in most)
    row = ''.join(
        f'<td class="{kind}"><bdi>{html.escape(shown(cell))}</bdi></td>'
        for kind, cell in zip(('wide', 'wide', '', ''), (*cells, last), strict=True)
    )
    mark = '<strong class="mark">simulated</strong>' if simulated else ''
    link = html.escape(quote(page, errors='surrogateescape'))
    name = html.escape(shown(stem))
    return f'<tr><th><a href="{link}"><bdi>{name}</bdi></a> {mark}</th>{row}</tr>'
