"""A server that is ended while it saves, or has no room: its files are whole."""

import os
import random
import re
import resource
import signal
import threading
import time
import urllib.error

import pytest
from page_servers import ENDS, annotating, save, table
from video_files import make_video, moving_frames

ALL = os.environ.get('FAULTS') == 'all'
WAYS = [signal.SIGINT, signal.SIGTERM] * 10 if ALL else [signal.SIGTERM]
SMALL, LARGE = table('one', 'a'), table('one', *['b'] * 5000)


@pytest.fixture
def videos(tmp_path):
    make_video(tmp_path / 'one.mp4', moving_frames(9), 30)
    return tmp_path


def ended(process):
    """Wait for its end, which is told in one line."""
    out, err = process.communicate(timeout=20)
    assert re.fullmatch(ENDS, out), out
    assert (process.returncode, err) == (0, '')


def test_it_ends_while_it_saves(videos):
    for number, way in enumerate(WAYS):
        file = videos / 'one.annotations.csv'
        file.unlink(missing_ok=True)
        with annotating(videos) as (process, url):
            saved = []

            def keep_saving(url=url, saved=saved):
                state = 'none'
                while True:
                    content = (SMALL, LARGE)[len(saved) % 2]
                    try:
                        state = save(url, 0, content, state)
                    except OSError:
                        return
                    saved.append(content)

            client = threading.Thread(target=keep_saving)
            client.start()
            while not saved:
                time.sleep(0.01)
            time.sleep(random.Random(number).random() / 10)
            process.send_signal(way)
            ended(process)
            client.join()
        assert file.read_bytes() in (SMALL, LARGE)
        assert {path.name for path in videos.iterdir()} == {'one.mp4', file.name}


def test_no_room(videos):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(LARGE) - 1, len(LARGE) - 1))

    with annotating(videos, preexec_fn=limit) as (process, url):
        state = save(url, 0, SMALL)
        with pytest.raises(urllib.error.HTTPError) as caught:
            save(url, 0, LARGE, state)
        told = caught.value.read().decode()
        assert (caught.value.code, 'File too large' in told) == (507, True), told
        assert (videos / 'one.annotations.csv').read_bytes() == SMALL
        save(url, 0, SMALL.replace(b',a,', b',c,'), state)  # it goes on
        process.send_signal(signal.SIGINT)
        ended(process)
    assert len([*videos.iterdir()]) == 2
