"""What is taken out of texts, and what stays in them."""

import pytest

from mmma.hub import scrubbing
from mmma.hub.scrubbing import Scrubber


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('saved to /home/ada/runs/a.', 'saved to <path>'),
        ("x = '/mnt/disk/best_epoch_2.pth'", "x = '<path>/best_epoch_2.pth'"),
        ('/home/ada.lovelace', '<path>/ada.lovelace'),
        ('-I/usr/include/x -L/opt/lib', '-I<path> -L<path>'),
        ('CC=/usr/bin/cc, y', 'CC=<path>, y'),
        (r'C:\Users\ada\x.py', r'<path>/x.py'),
        ('~/runs/a/b', '<path>'),
        ('file:///home/ada/a.pth', '<path>'),
        ('(/data/a/b) [/c/d]', '(<path>) [<path>]'),
    ],
)
def test_paths(text, expected):
    assert Scrubber().text(text) == expected


@pytest.mark.parametrize(
    'text',
    [
        'https://download.openmmlab.com/mmaction/v1.0/a-01234567.pth',
        'tilting forward/backward',
        '2026/01/02 10:00:00 - INFO - Epoch(train) [1][ 1/24] lr: 1/3',
        'videos/lab/a.mp4',
        'configs/recog/tsm_mma82_indomain.py',
        'a / b, 5 // 2, <b>/c/d',
        'OpenCV: 4.10.0.84',
    ],
)
def test_what_stays(text):
    assert Scrubber().log(text) == text


def test_known_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = {'/home/ada/data': 'data/mma82', '/home/ada/mma': '', 'runs/a': 'WORK_DIR'}
    scrubber = Scrubber(known)
    text = '/home/ada/data, /home/ada/data/x/y.mp4 /home/ada/data2/x runs/a/b.pth'
    assert scrubber.text(text) == (
        'data/mma82, data/mma82/x/y.mp4 <path> WORK_DIR/b.pth'
    )
    assert scrubber.text('/home/ada/mma/tools/test.py in /home/ada/mma.') == (
        'tools/test.py in .'
    )
    assert scrubber.text(f'{tmp_path}/runs/a/b.pth') == 'WORK_DIR/b.pth'


def test_nested_values():
    value = {'a': ['/x/y/z', 1], 'b': ('/x/y/z.py', None), '/k/k': True}
    expected = {'a': ['<path>', 1], 'b': ('<path>/z.py', None), '/k/k': True}
    assert Scrubber().value(value) == expected


def test_hosts_and_users(monkeypatch):
    monkeypatch.setattr(scrubbing.platform, 'node', lambda: 'gpu-07.lab.example')
    monkeypatch.setenv('HOSTNAME', 'gpu-07')
    text = 'ada@gpu-07 on gpu-07.lab.example, gpu-07: tcp://192.168.1.20:29500, gpu-071'
    assert Scrubber().log(text) == ('<host> on <host>, <host>: tcp://<host>, gpu-071')
    assert 'gpu-07' in Scrubber().text(text)
