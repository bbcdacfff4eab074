"""Videos with what ``infer.py`` found drawn into them: skeleton, labels, timeline."""

import functools
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, cycle
from operator import itemgetter
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np

from mmma.data.joints import WHOLEBODY65, decode_joints
from mmma.engine.findings import DRAWN_VIDEO
from mmma.files import draft, progress, read_json
from mmma.foreign import shown
from mmma.media.encode import encode, read_times, verify
from mmma.media.pose import draw_over, extract_video
from mmma.packets import BrokenVideoError, index_video, open_container
from mmma.reporting.pages import COPY, PARTS
from mmma.taxonomy import own_table
from mmma.video import PyAVReader

_MARK, _DARK, _TRACK, _WARN = 'mmma draw ', (24,) * 3, (56,) * 3, (255, 196, 60)
_WIDTH, _HIGHEST, _MOST, _LETTERS = 480, 4096, 8, 200  # pixels; labels; of a label
_CODES = re.findall(r'--own: #(\w{6})', (PARTS / 'video.css').read_text('utf-8'))
_COLOURS = [(*bytes.fromhex(code),) for code in _CODES]  # the last one: of no group
_SPAN = itemgetter('start_sec', 'end_sec')


def draw_video(
    folder: Path, stem: str, video: Path, models: Any, answers: Any, label: str
) -> Path:
    """Draw what was found into a copy of a video, of the same times, without sound.

    Its ``<stem>.json`` is in the folder. Joints are found anew where the ``models`` see
    some and the ``answers`` bring none. In a long video, how far it is is shown.

    A file of another program in its place, or no video: ValueError.
    """
    from mmma.engine.infer import LONG_SEC, pose_options

    content, path = read_json(folder / f'{stem}.json'), folder / f'{stem}{DRAWN_VIDEO}'
    told = json.dumps(content['request'], sort_keys=True).encode()
    mark, known = _MARK + hashlib.sha256(told).hexdigest()[:16], ''
    if path.exists():
        with suppress(BrokenVideoError), open_container(path) as container:
            known = container.metadata.get('comment', '')
        if known == mark:
            return path
        if not known.startswith(_MARK):
            raise ValueError(f'another program wrote {path.name}: use another --out.')
    index, times = index_video(video), read_times(video)[0]
    label *= index.duration_sec > LONG_SEC
    found = next((own.skeletons for own in answers if own.skeletons), None)
    if not found and any(model.card.extractor for model in models):
        chosen = pose_options(models[0].options)
        found = extract_video(video.absolute(), chosen, label=label)
    with PyAVReader(video, index) as reader, draft(path) as part:
        drawn = _frames(reader, content, models[-1].space.bodies, found)
        if label:
            drawn = progress(drawn, reader.num_frames, f'{label}: drawing')
        size = (first := next(drawn)).width, first.height
        encode(part, chain([first], drawn), size, times, COPY, mark)
        verify(part, times, size)
    return path


def _frames(reader: Any, content: Any, bodies: Any, skeletons: Any) -> Iterator[Any]:
    """Frames: the picture, below it the time, a timeline and the labels that hold."""
    import av
    import cv2
    from PIL import Image, ImageDraw

    sides, end_sec = np.array(reader.upright.size), reader.duration_sec
    scale = min(COPY.short_side / sides.min(), max(1, _WIDTH / sides[0]))
    half = (sides * min(scale, _HIGHEST / sides.max()) / 2).round().clip(1)
    wide, high = (2 * half).astype(int).tolist()
    step = 2 * min(max(16, wide // 40), 28)
    found = [*content.get('detection', {}).get('segments', ())]
    found += [f for f in [content.get('recognition')] if f and f['action']]
    found.sort(key=_SPAN)
    lanes = [*dict.fromkeys([*bodies, *(f.get('body') or '' for f in found)])]
    colours = dict(zip(lanes, cycle(_COLOURS), strict=False))
    groups = map(own_table('layouts')['body_groups'].get, WHOLEBODY65.names)
    inks = [colours.get(group, _COLOURS[-1]) for group in groups]
    spans = np.array([*map(_SPAN, found)]).reshape(-1, 2)
    first, stop = np.searchsorted(reader.times_sec, spans - 1e-6).T
    # What is over before another frame comes is shown with that one.
    first = first.clip(max=len(reader.times_sec) - 1)
    stop, labels, free = np.maximum(stop, first + 1), [], []
    line = np.full((step, wide, 3), _TRACK, np.uint8)
    for i, (left, right) in enumerate((spans / end_sec * wide).astype(int)):
        slot = next((n for n, end in enumerate(free) if end <= first[i]), len(free))
        free[slot : slot + 1], body = [stop[i]], found[i].get('body') or ''
        text = f'{found[i]["score"]:.2f}  {found[i]["action"]}  {body}'
        labels.append((slot + 2, text, colours[body]))
        top, part = step * lanes.index(body) // len(lanes), step // len(lanes) + 1
        line[top : top + part, left : right + 1] = colours[body]
    base = np.full((step * (2 + min(len(free), _MOST)), wide, 3), _DARK, np.uint8)
    base[step : 2 * step] = line
    for number, picture in enumerate(map(reader.upright, reader.walk())):
        now, shrinks = reader.times_sec[number], wide < picture.shape[1]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        picture = cv2.resize(picture, (wide, high), None, 0, 0, way)
        if skeletons:  # rows are evenly spaced, of what is shown in their middle
            row = max(0, int(np.ceil(now * skeletons.fps - 0.500001)))
            joints = skeletons.joints[: row + 1][-1:]
            points, scores = decode_joints(joints, WHOLEBODY65.score_scale)
            points *= wide / skeletons.width
            for person, sure in zip(points[:, 0], scores[:, 0], strict=True):
                picture = draw_over(picture, person, sure, WHOLEBODY65, inks)
        image = Image.fromarray(np.concatenate([picture, base]))
        pen, head = ImageDraw.Draw(image), min(now / end_sec * wide, wide - 2)
        pen.line((head, high + step, head, high + 2 * step), 'white', 2)
        held = np.flatnonzero((first <= number) & (number < stop))
        texts = [labels[i] for i in held if labels[i][0] < _MOST + 2]
        more = f'  +{len(held) - len(texts)} more' * (len(texts) < len(held))
        clock = round(now, 2), round(end_sec, 2)
        clock = ' / '.join(f'{s // 60:.0f}:{s % 60:05.2f}' for s in clock)
        texts += [(0, clock + more, 'white')]
        texts += [(-high / step, 'SIMULATED', _WARN)] * content['simulated']
        for place, text, ink in texts:
            text, font = _font(text, step // 2)
            where = step / 2, high + step * (place + 0.5)
            pen.rectangle((0, where[1] - step // 3, 5, where[1] + step // 3), ink)
            pen.text(where, text, ink, font, 'lm', stroke_width=2, stroke_fill=_DARK)
        space = {'dst_colorspace': 'ITU709', 'dst_color_range': 'MPEG'}
        yield av.VideoFrame.from_image(image).reformat(format='yuv420p', **space)


@functools.lru_cache(256)
def _font(text: str, size: int) -> tuple[str, Any]:
    """What is drawn of a text, and a font; letters without one are told as U+4F60."""
    from matplotlib import font_manager, get_data_path
    from matplotlib.ft2font import FT2Font
    from PIL import ImageFont

    text, best = shown(text)[:_LETTERS], f'{get_data_path()}/fonts/ttf/DejaVuSans.ttf'
    wanted = {ord(c) for c in text if not c.isspace() and category(c) != 'Cf'}
    lacking = wanted - {*FT2Font(best).get_charmap()}
    for file in sorted(font_manager.findSystemFonts()) if lacking else ():
        with suppress(OSError, RuntimeError):
            font = FT2Font(file)
            if font.scalable and wanted <= {*font.get_charmap()}:
                return text, ImageFont.truetype(file, size)
    text = ''.join(f'U+{ord(c):04X}' if ord(c) in lacking else c for c in text)
    return text, ImageFont.truetype(best, size)
