import json
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from mmma import compat, video
from mmma.cli import doctor, main


def test_this_installation_is_sound(capsys):
    assert main('doctor', ['--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['problems'] == []
    assert report['versions']['mmengine'] == '0.10.7'
    assert report['decoders']['pyav'] == 'works'
    assert {r['name'] for r in report['repairs']} == {r.name for r in compat.REPAIRS}


def test_text_names_what_json_has():
    report = doctor.examine()
    report['warnings'] = ['a warning']
    text = doctor.describe(report)
    for repair in report['repairs']:
        assert repair['reason'] in text
    assert f'torch                 {report["versions"]["torch"]}' in text
    assert 'decoders: pyav ' in text
    assert 'warnings:\n  a warning\n\nproblems:\n  none' in text


def test_broken_requirements_are_problems(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'scipy', None)
    assert main('doctor', []) == 1
    assert 'scipy: ModuleNotFoundError: import of scipy' in capsys.readouterr().out


def test_unknown_python(monkeypatch):
    monkeypatch.setattr(sys, 'version_info', (3, 14, 0))
    problems = doctor.examine()['problems']
    assert problems[0].endswith(': use 3.10 to 3.13')


def test_absent_mmaction(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'version', version)
    report = doctor.examine()
    assert report['versions']['torch'] == 'absent'
    message = 'mmaction2 is absent: pip install --no-deps mmaction2==1.2.0'
    assert message in report['problems']


def test_missing_system_library_is_hinted_at():
    def look():
        raise ImportError('libGL.so.1: cannot open shared object file')

    problems = []
    assert doctor._guarded('cv2', look, problems) is None
    assert problems[0].endswith('(apt-get install libgl1)')


@pytest.mark.parametrize(
    ('shared', 'disk', 'expected'),
    [(8.0, 50.0, []), (0.1, 50.0, ['--shm-size=8g']), (None, 1.0, ['of free disk'])],
)
def test_small_machines(shared, disk, expected):
    warnings = list(doctor._machine_warnings(shared, disk))
    assert len(warnings) == len(expected)
    for text, part in zip(warnings, expected, strict=True):
        assert part in text


@pytest.mark.parametrize(
    ('installed', 'warned'),
    [
        ({'opencv-python': '5.0', 'opencv-contrib-python': '5.0'}, None),
        ({'opencv-python': '5.0', 'opencv-contrib-python': '4.9'}, 'the folder cv2'),
        ({'opencv-python': '5.0', 'opencv-python-headless': '5.0'}, 'the folder cv2'),
        ({'opencv-python-headless': '5.0'}, None),
        ({'decord': '0.6', 'decord2': '3.4'}, 'decord and decord2 share a folder'),
    ],
)
def test_packages_that_share_a_folder(monkeypatch, installed, warned):
    found = [
        SimpleNamespace(metadata={'Name': k}, version=v) for k, v in installed.items()
    ]
    monkeypatch.setattr(metadata, 'distributions', lambda: found)
    warnings = list(compat.shared_folders())
    assert [warned in text for text in warnings] == ([True] if warned else [])


def test_an_absent_decoder_is_said_to_be_absent(monkeypatch):
    monkeypatch.setattr(video, 'available_backends', lambda: ('pyav',))
    assert doctor.decoder_states()['decord'] == 'absent'
