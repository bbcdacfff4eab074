"""Pages of videos as a browser shows them: keys, edits that stay, files that are read.

They need playwright (``pip install playwright``) and a Chromium: Debian's, or its own.
"""

import json
import shutil

import cv2
import numpy as np
import pytest
from page_files import HOSTILE, look_at_nothing
from page_servers import serving, table
from video_files import make_video, moving_frames

from mmma.cli import main
from mmma.convert.events import read_recordings
from mmma.data.root import read_root
from mmma.packets import index_video
from mmma.reporting.pages import write_index, write_page
from mmma.taxonomy import load_label_space

playwright = pytest.importorskip('playwright.sync_api')
NAMES = 'chromium', 'chromium-browser', 'google-chrome'


@pytest.fixture(scope='module')
def browser():
    """A browser without a window; skips where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(
                executable_path=program, args=['--no-sandbox', '--disable-gpu']
            )
        except playwright.Error as error:
            pytest.skip(f'no browser: {error}')
        yield found
        found.close()


@pytest.fixture
def visit(browser):
    """A function that opens a page; nothing may be told on its console."""
    told, contexts = [], []

    def opened(path, picker=False):
        context = browser.new_context(viewport={'width': 1280, 'height': 900})
        contexts.append(context)
        page = context.new_page()
        if not picker:  # nobody answers it here
            page.add_init_script('delete window.showSaveFilePicker')
        page.on('console', lambda message: told.append(message.text))
        page.on('pageerror', lambda error: told.append(str(error)))
        page.goto(path if isinstance(path, str) else path.absolute().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    known = 'ERR_FILE_NOT_FOUND', '409 (Conflict)', 'ERR_INTERNET_DISCONNECTED'
    assert not [x for x in told if not any(one in x for one in known)]


def now(page):
    return page.evaluate('document.getElementById("video").currentTime')


def wait(page, condition):
    """Wait until it is so; the policy of the page forbids playwright's own way."""
    for _ in range(100):
        if page.evaluate(f'Boolean({condition})'):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def ready(page):
    wait(page, 'document.getElementById("video").readyState > 1')
    return page


def test_curves_of_frames(visit, tmp_path):
    path, video, space = look_at_nothing(tmp_path)
    assert ready(visit(path)).locator('.lane .limit').count() == 7
    rows = [f'{i / 15:.3f}' + ',0' * 81 + f',{i / 4}' for i in range(5)]
    head = ','.join(['seconds', *space.actions])
    path.with_name('one.frames.csv').write_text('\n'.join([head, *rows]))
    write_page(path.parent, 'one', video, space)
    page = ready(visit(path))
    assert page.locator('.lane .limit').count() == 0  # it is of other scores
    *flat, last = page.locator('.lane .area').evaluate_all(
        """all => all.map((one) => one.getAttribute('d').match(/V[0-9.]+/g)
            .map((height) => +height.slice(1)))"""
    )
    assert {height for own in flat for height in own} == {100}
    steps = [100, 76, 52, 28, 4]  # 80 of 400 places each, 96 of 100 high
    assert last == [height for height in steps for _ in range(80)] + [100]


def test_hostile_texts_fit_and_do_nothing(visit, tmp_path):
    space = load_label_space({'name': 'x', 'actions': [{'name': n} for n in HOSTILE]})
    name = HOSTILE[0].replace('/', '') + '\u202e #?%41 "q"'
    path, *_ = look_at_nothing(tmp_path, name, space, notes=HOSTILE)
    for own in (path, write_index(path.parent)):
        page = visit(own)
        for width, scheme in ((1280, 'light'), (390, 'dark')):
            page.set_viewport_size({'width': width, 'height': 900})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate('document.documentElement.scrollWidth') <= width
        assert page.evaluate('window.hacked') is None
        assert page.locator('img').count() == 0
    page = ready(visit(path))
    shown = page.locator('.bar bdi').all_text_contents()
    assert {*shown} == {*HOSTILE}
    page.keyboard.press('e')
    page.keyboard.press('n')
    for field in ('text', 'subject', 'by'):
        page.fill(f'#{field}', HOSTILE[1])
        page.keyboard.press('Tab')
    with page.expect_download() as saved:
        page.click('#save')
    table = tmp_path / 'saved.csv'
    saved.value.save_as(table)
    page.reload()
    assert page.evaluate('window.hacked') is None
    (own,), _ = read_recordings(table)
    assert {event.text for event in own.events} == {'', HOSTILE[1]}
    assert own.annotator == f'simulated det and {HOSTILE[1]}'
    assert {event.label for event in own.events} == {*shown}


@pytest.mark.parametrize('suffix', ['.mp4', '.mts'])
def test_the_frame_shown_is_that_of_the_time(visit, tmp_path, suffix):
    grey = np.arange(4, 244, 8, dtype=np.uint8)[:, None, None, None]
    times = [0, *np.cumsum([30 + 10 * (k % 5) for k in range(29)]).tolist()]
    path, video, _ = look_at_nothing(
        tmp_path, suffix=suffix, pictures=grey.repeat(64, 1).repeat(64, 2).repeat(3, 3),
        times_ms=times,
    )  # fmt: skip
    page = ready(visit(path))
    times_sec = index_video(video).times_sec
    for place in range(4):
        wait(page, f'Math.abs(video.currentTime - {times_sec[place]}) < 0.002')
        page.wait_for_timeout(100)
        shown = cv2.imdecode(
            np.frombuffer(page.locator('#video').screenshot(), np.uint8), 1
        )
        assert shown[len(shown) // 3, shown.shape[1] // 2].mean() == pytest.approx(
            grey[place].item(), abs=3
        )
        page.keyboard.press('.')


def test_the_keyboard_suffices(visit, tmp_path):
    path, *_ = look_at_nothing(tmp_path, frames=120)
    page = ready(visit(path))
    page.keyboard.press('ArrowRight')
    assert now(page) == pytest.approx(1, abs=0.01)
    for _ in range(40):  # no step is lost
        page.keyboard.press('.')
    assert now(page) == pytest.approx(1 + 40 / 30, abs=0.01)
    page.keyboard.press('Home')
    page.keyboard.press('n')
    page.keyboard.press('n')
    page.keyboard.press('n')
    assert 0 <= now(page) < 0.51
    assert page.locator('.bar.chosen').count() == 1
    page.keyboard.press('+')
    assert page.locator('#pan').is_enabled()
    page.keyboard.press('0')
    assert page.locator('#pan').is_disabled()
    before = page.locator('.bar').count()
    page.keyboard.press('[')
    assert page.locator('.bar').count() > before
    page.keyboard.press('/')
    page.keyboard.type('shaking body')
    assert page.locator('#body tr').count() == 1
    page.keyboard.press('Escape')
    page.keyboard.press('Home')
    page.keyboard.press(' ')
    wait(page, 'document.getElementById("video").currentTime > 0.2')
    page.keyboard.press(' ')
    assert page.evaluate('document.getElementById("video").paused')
    # Everything that can be pressed is reached, and seen when it is.
    wanted = page.evaluate(
        """[...document.querySelectorAll('button, input, select, textarea, summary')]
        .filter((x) => !x.closest(':disabled') && x.checkVisibility())
        .length"""
    )
    reached = set()
    for _ in range(wanted + 12):
        page.keyboard.press('Tab')
        reached.add(
            page.evaluate(
                """(() => { const x = document.activeElement;
                window.order = window.order || new Map();
                if (!order.has(x)) order.set(x, order.size);
                if (x.matches('button, select, summary') &&
                    getComputedStyle(x).outlineStyle === 'none') return 'unseen';
                return x.matches('button, input, select, textarea, summary')
                  ? order.get(x) : -1; })()"""
            )
        )
    assert 'unseen' not in reached
    assert len(reached - {-1}) >= wanted


def test_a_click_seeks_and_edits_stay(visit, tmp_path):
    path, *_ = look_at_nothing(tmp_path, frames=120)
    page = ready(visit(path))
    bar = page.locator('.bar').nth(3)
    bar.click()
    start = page.evaluate('Number(document.getElementById("start").value)')
    assert now(page) == pytest.approx(start, abs=0.01)
    count = page.locator('#body tr').count()
    page.keyboard.press('a')
    assert page.locator('.bar.accepted').count() == 0  # it is not editing
    for key in ('e', 'a', 'n', 'x', 'n', 'ArrowRight', 's', 'm'):
        page.keyboard.press(key)
    page.keyboard.type('a new label')
    page.keyboard.press('Enter')
    page.keyboard.press('Escape')
    states = {'accepted': 3, 'rejected': 1, 'own': 1}
    told = {key: page.locator(f'.bar.{key}').count() for key in states}
    assert told == states
    assert page.locator('#body tr').count() == count + 2
    page.locator('.bar.own').scroll_into_view_if_needed()
    box = page.locator('.bar.own').bounding_box()
    page.mouse.move(box['x'] + box['width'] / 2, box['y'] + 5)
    page.mouse.down()
    page.mouse.move(box['x'] + box['width'] / 2 - 60, box['y'] + 5, steps=4)
    page.mouse.up()
    moved = page.evaluate('Number(document.getElementById("start").value)')
    assert page.locator('.bar.own').bounding_box()['x'] == pytest.approx(
        box['x'] - 60, abs=2
    )
    page.keyboard.press('Delete')
    assert page.locator('.bar.own').count() == 0
    page.keyboard.press('u')
    page.reload()
    told = {key: page.locator(f'.bar.{key}').count() for key in states}
    assert told == states
    with page.expect_download() as saved:
        page.keyboard.press('Control+s')
    table = tmp_path / saved.value.suggested_filename
    saved.value.save_as(table)
    with page.expect_download() as saved:
        page.click('#as-json')
    saved.value.save_as(tmp_path / 'det.json')
    (ours,), found = read_recordings(table)
    (same,), _ = read_recordings(tmp_path / 'det.json', found)
    assert len(ours.events) == len(same.events) == count + 1
    times = [event.start_sec for event in ours.events if event.label == 'a new label']
    assert times == pytest.approx([moved], abs=0.001)
    assert sum(event.score is None for event in ours.events) == 4
    assert main('data/convert', ['csv', str(table), str(tmp_path / 'root')]) == 0
    (video,) = read_root(tmp_path / 'root').read_det()
    assert len(video.instances) == count + 1
    argv = [str(table), str(path.with_suffix('.json')), '--json']
    assert main('agree', argv) == 0
    # What was saved is opened again; other files are refused.
    page = ready(visit(path))
    page.set_input_files('#open', table)
    wait(page, 'document.querySelectorAll(".bar.own").length === 4')
    page.on('dialog', lambda dialog: dialog.accept())
    page.set_input_files('#open', tmp_path / 'det.json')
    assert page.locator('.bar.own').count() == 4
    page.click('#discard')
    assert page.locator('.bar.own').count() == 0


def test_saving_where_the_browser_has_files(visit, tmp_path):
    path, *_ = look_at_nothing(tmp_path)
    page = visit(path, picker=True)
    page.evaluate(
        """void (window.showSaveFilePicker = async (options) => {
        window.asked = (window.asked || 0) + 1;
        return { name: options.suggestedName, createWritable: async () => ({
          write: async (text) => { window.saved = text; },
          close: async () => {} }) }; })"""
    )
    for _ in range(2):
        page.keyboard.press('Control+s')
        wait(page, 'window.saved')
    assert page.evaluate('window.asked') == 1
    (tmp_path / 'saved.csv').write_text(page.evaluate('window.saved'), 'utf-8')
    (own,), _ = read_recordings(tmp_path / 'saved.csv')
    content = json.loads(path.with_suffix('.json').read_text('utf-8'))
    assert len(own.events) == len(content['detection']['segments'])
    assert own.annotator == 'simulated det'


def test_a_video_that_is_not_there_is_asked_for(visit, tmp_path):
    path, video, _ = look_at_nothing(tmp_path)
    moved = video.rename(tmp_path / 'moved.mp4')
    page = visit(path)
    wait(page, '!document.getElementById("absent").hidden')
    page.keyboard.press('n')  # the timeline is of use without it
    assert page.locator('.bar.chosen').count() == 1
    page.set_input_files('#choose', moved)
    ready(page)
    assert page.locator('#absent').is_hidden()


def test_a_served_page_saves_by_keys_alone(visit, tmp_path):
    folder, file = tmp_path / 'videos', tmp_path / 'videos' / 'one.annotations.csv'
    make_video(folder / 'one.mp4', moving_frames(90), 30)
    with serving(folder, coder='Ann') as server:
        page = visit(server.url)
        page.keyboard.press('Tab')
        with page.expect_navigation():
            page.keyboard.press('Enter')
        ready(page)
        assert page.text_content('#state') == 'no file yet'
        page.keyboard.press('.')
        page.keyboard.press('m')
        page.keyboard.type(HOSTILE[0])
        page.keyboard.press('Control+s')
        wait(page, 'document.getElementById("state").textContent === "saved"')
        (own,), _ = read_recordings(file)
        assert [event.label for event in own.events] == [HOSTILE[0]]
        assert (own.name, own.path, own.annotator) == ('one', 'one.mp4', 'Ann')
        page.keyboard.press('Escape')
        page.keyboard.press('ArrowRight')
        page.keyboard.press('m')
        page.keyboard.type('nodding')
        page.keyboard.press('Enter')
        assert page.text_content('#state') == 'not saved'
        page.reload()  # what is not saved is kept by the browser
        assert page.text_content('#state') == 'not saved'
        assert page.locator('.bar').count() == 2
        page.evaluate('localStorage.clear()')
        page.reload()  # and what is saved comes from the file
        assert page.locator('.bar').count() == 1
        assert page.text_content('.bar bdi') == HOSTILE[0]
        assert page.input_value('#by') == 'Ann'
        page.click('text=All videos')
        assert page.locator('td bdi').all_text_contents()[2:] == [
            '1',
            f'{HOSTILE[0]} (1)',
        ]
    assert page.evaluate('window.hacked') is None
    assert {path.name for path in folder.iterdir()} == {'one.mp4', file.name}


def test_a_save_that_is_refused(visit, tmp_path):
    folder, file = tmp_path / 'videos', tmp_path / 'videos' / 'one.annotations.csv'
    make_video(folder / 'one.mp4', moving_frames(30), 30)
    with serving(folder) as server:
        page = ready(visit(f'{server.url}0/'))
        page.keyboard.press('m')
        page.keyboard.type('mine')
        page.keyboard.press('Enter')
        file.write_bytes(table('one', 'theirs'))  # meanwhile
        page.keyboard.press('Control+s')
        wait(page, '!document.getElementById("trouble").hidden')
        assert 'has changed since' in page.text_content('#why')
        assert page.text_content('#state') == 'not saved'
        assert file.read_bytes() == table('one', 'theirs')
        page.reload()  # the edits are still there, and still not those of the file
        assert page.text_content('.bar bdi') == 'mine'
        assert page.locator('#trouble').is_visible()
        with page.expect_download() as saved:
            page.click('#aside')
        saved.value.save_as(tmp_path / 'mine.csv')
        assert b',mine,' in (tmp_path / 'mine.csv').read_bytes()
        page.on('dialog', lambda dialog: dialog.accept())
        page.click('#reread')
        wait(page, 'document.querySelector(".bar").textContent === "theirs"')
        assert page.text_content('#state') == 'saved'
        page.set_input_files('#open', tmp_path / 'mine.csv')
        wait(page, 'document.querySelector(".bar").textContent === "mine"')
        page.keyboard.press('Control+s')
        wait(page, 'document.getElementById("state").textContent === "saved"')
        assert b',mine,' in file.read_bytes()
        page.keyboard.press('n')
        page.keyboard.press('x')
        page.context.set_offline(True)  # as if nobody were there any more
        page.keyboard.press('Control+s')
        wait(page, '!document.getElementById("trouble").hidden')
        assert 'does not answer' in page.text_content('#why')


def test_a_served_copy_appears(visit, tmp_path):
    make_video(tmp_path / 'old.avi', moving_frames(9), 30, codec='mpeg4')
    with serving(tmp_path) as server:
        page = ready(visit(f'{server.url}0/'))
        assert page.locator('#waiting').is_hidden()
        assert page.locator('#absent').is_hidden()
        assert 'a copy without sound' in page.text_content('#facts')
