"""Pages of videos: what stands in them, and that nothing in them is run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from page_files import HOSTILE, answer, look_at_nothing
from video_files import make_click, make_video, moving_frames

from mmma.engine.findings import find_videos, write_findings
from mmma.packets import index_video
from mmma.reporting.pages import (
    MARK,
    MOST_PLACES,
    PARTS,
    embedded,
    frame_curves,
    page_path,
    why_copied,
    write_index,
    write_page,
)
from mmma.structures.segments import FrameScores
from mmma.taxonomy import load_label_space


def read(page):
    """Text of a page, and the data in it."""
    text = page.read_text('utf-8')
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', text
    )
    return text, json.loads(data)


def test_a_page_has_what_was_found(tmp_path):
    page, _, space = look_at_nothing(tmp_path)
    text, data = read(page)
    assert text.startswith(MARK)
    assert data['link'] == '../videos/one.mp4'
    assert data['bodies'] == list(space.bodies)
    assert len(data['actions']) == 82
    starts = [item[0] for item in data['items']]
    assert starts == sorted(starts)
    scores = {item[4] for item in data['items']}
    assert min(scores) < data['threshold'] <= max(scores)  # the threshold can fall
    assert data['left_out'] == 3
    assert data['simulated'] is True
    assert 'Simulated weights.' in text
    assert not re.search(r'(src|href)="(?!data:,|#)', text)  # nothing is loaded
    assert "default-src 'none'" in text
    assert not list(page.parent.glob('*.mp4'))  # the video stays where it is


def test_scores_of_frames_are_the_curves_of_groups(tmp_path):
    page, video, space = look_at_nothing(tmp_path)
    assert 'curves' not in read(page)[1]
    scores = np.random.default_rng(0).random((50_000, space.num_actions))
    scores = scores.astype(np.float32)
    frames = FrameScores([scores], 15.0), space
    scored = replace(answer(video, space), frames=frames)
    content = json.loads(page.with_suffix('.json').read_text())
    facts = {'request': content['request'], 'top_k': 5, 'path': str(video)}
    write_findings(page.parent, 'one', [scored], facts)
    curves = read(write_page(page.parent, 'one', video, space))[1]['curves']
    assert list(curves) == list(space.bodies)
    for group, curve in enumerate(curves.values()):
        own = scores[:, np.equal(space.body_of, group)].max(axis=1)
        assert len(curve) == MOST_PLACES
        assert max(curve) == round(100 * own.max())
        assert curve[-1] == round(100 * own[-3:].max())
    bad = page.with_name('one.frames.csv')
    bad.write_text('seconds,a\n0,1\n')
    with pytest.raises(ValueError, match=r'one\.frames\.csv: .*82 actions'):
        write_page(page.parent, 'one', video, space)
    alone = load_label_space({'name': 'x', 'actions': [{'name': 'a'}]})
    assert frame_curves(bad, alone) == {'curves': {'actions': [100]}}


def test_what_others_wrote_is_data(tmp_path):
    space = load_label_space({'name': 'x', 'actions': [{'name': n} for n in HOSTILE]})
    name = HOSTILE[0].replace('/', '') + ' é "q"'
    page, *_ = look_at_nothing(tmp_path, name, space, notes=HOSTILE)
    text, data = read(page)
    assert {item[2] for item in data['items']} == {*HOSTILE}
    assert data['models'][0]['notes'] == list(HOSTILE)
    assert data['bodies'] == ['actions']
    # Only the page's own scripts, and no letter that turns a line.
    assert text.count('<script') == text.count('</script>') == 2
    assert '<img' not in text
    assert not re.search('[\u2028-\u202e\u2066-\u2069\ud800-\udfff]', text)
    index = write_index(page.parent).read_text('utf-8')
    assert '<script' not in index
    assert '<img' not in index
    assert '&lt;' in index


def test_no_letter_ends_the_block():
    text = embedded({'a': ['</script><!--', '\u2028\udc80&amp;', '{{title}}']})
    assert not set(text) & set('<>&')
    assert text.isascii()
    assert json.loads(text) == {
        'a': ['</script><!--', '\u2028\udc80&amp;', '{{title}}']
    }


def test_what_browsers_do_not_play_is_copied_with_its_times(tmp_path):
    page, video, _ = look_at_nothing(tmp_path, suffix='.avi', codec='mpeg4')
    copied = page.with_name('one.page.mp4')
    _, data = read(page)
    assert data['link'] == 'one.page.mp4'
    assert 'mpeg4' in data['copied']
    assert list(index_video(copied).times_sec) == list(index_video(video).times_sec)
    assert not why_copied(copied, {'fps': 30, 'first_frame_sec': 0.0})
    assert why_copied(copied, {'fps': 30, 'first_frame_sec': 0.5})
    # It is kept as long as it is of this file, and is no video of a folder.
    first = copied.stat().st_mtime_ns
    look_at_nothing(tmp_path, suffix='.avi', codec='mpeg4', make=False)
    assert copied.stat().st_mtime_ns == first
    with pytest.raises(FileNotFoundError, match='no video in this folder'):
        find_videos([page.parent], False)


def test_a_private_page_tells_no_name(tmp_path):
    page, *_ = look_at_nothing(tmp_path, 'anna-4711', stem='video-1', private=True)
    write_index(page.parent)
    assert page.name == 'video-1.html'
    for file in page.parent.iterdir():
        assert 'anna' not in file.name
        assert b'anna' not in file.read_bytes()
    _, data = read(page)
    assert (data['link'], data['file']) == ('video-1.page.mp4', '')


def test_a_copy_has_sound_unless_it_is_private(tmp_path):
    (tmp_path / 'videos').mkdir()
    make_click(tmp_path / 'videos' / 'one.mkv', 500, 200, 1200)
    for private in (False, True):
        page, *_ = look_at_nothing(tmp_path, suffix='.mkv', make=False, private=private)
        with av.open(str(page.with_name('one.page.mp4'))) as container:
            assert len(container.streams.audio) == (not private)


def test_pages_of_others_stay(tmp_path):
    (tmp_path / 'one.html').write_text('<p>mine')
    with pytest.raises(ValueError, match='another program wrote: choose another --out'):
        page_path(tmp_path, 'one')
    (tmp_path / 'index.html').write_text('<p>mine')
    with pytest.raises(ValueError, match=r'index.html: .* another program'):
        write_index(tmp_path)
    assert page_path(tmp_path, 'index').name == 'index (video).html'


def test_the_index_has_all_pages_below_a_folder(tmp_path):
    for name in ('one', 'two'):
        page, *_ = look_at_nothing(tmp_path, name, stem=f'sub/{name}')
    (page.parent / 'other.json').write_text('[1]')
    text = write_index(tmp_path / 'out').read_text('utf-8')
    assert re.findall('href="(sub/[^"]+)"', text) == ['sub/one.html', 'sub/two.html']
    assert text.count('simulated</strong>') == 2


def test_a_recognizer_alone(tmp_path):
    video = tmp_path / 'clip.mp4'
    make_video(video, moving_frames(9), 30)
    found = answer(video, load_label_space('mma82'))
    found = replace(found, model=replace(found.model, task='rec'))
    facts = {'request': {'video': {}}, 'top_k': 5, 'path': str(video)}
    write_findings(tmp_path, 'clip', [found], facts)
    page = write_page(tmp_path, 'clip', video, load_label_space('mma82'))
    _, data = read(page)
    assert len(data['whole']) == 5
    assert data['items'][0][:2] == [0.0, pytest.approx(0.3)]


def test_parts_of_pages_are_plain():
    for path in Path(PARTS).iterdir():
        text = path.read_text('utf-8')
        assert 'http://' not in text.replace('http://www.w3.org/2000/svg', '')
        assert 'https://' not in text
        assert max(map(len, text.splitlines())) < 320
