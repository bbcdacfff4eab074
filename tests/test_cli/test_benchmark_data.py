import json

import pytest

from mmma.cli import benchmark_data, main

FAST = ['--rounds', '1', '--json']


def measured(capsys, *options):
    assert main('benchmark', ['data', *options, *FAST]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_packed_clip_decodes_faster(capsys, monkeypatch):
    draw = benchmark_data.draw_clip
    monkeypatch.setattr(benchmark_data, 'draw_clip', lambda p: draw(p, 10))
    found = measured(capsys, '--readers', 'pyav')
    drawn, packed = found['rows']
    assert (drawn['times_faster'], found['clips']) == (1, 1)
    # Medians wait for whatever else the machine does; the fastest passes do not.
    assert drawn['fastest_milliseconds'] > 3 * packed['fastest_milliseconds']
    assert packed['times_faster'] > 1
    assert packed['milliseconds'] >= packed['fastest_milliseconds'] > 0


def test_every_reader_on_roots_that_are_given(capsys, video_root):
    found = measured(capsys, str(video_root), str(video_root), '--clips', '3')
    assert found['clips'] == 3
    assert {row['reader'] for row in found['rows']} >= {'pyav', 'opencv'}


def test_roots_without_a_common_clip(capsys, video_root, det_root, tmp_path):
    table = 'clip,path,subset,domain,subject,action,body\nx,,train,lab,s,0,\n'
    (tmp_path / 'rec.csv').write_text(table)
    (tmp_path / 'dataset.json').write_bytes((det_root / 'dataset.json').read_bytes())
    assert main('benchmark', ['data', str(video_root), str(tmp_path)]) == 2
    assert 'no clip whose video is in' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--frames', '0'], '--frames 0: use at least 1'),
        (['--readers', 'pyva'], "unknown video backend 'pyva'"),
    ],
)
def test_bad_options(capsys, options, message):
    assert main('benchmark', ['data', *options]) == 2
    assert message in capsys.readouterr().err
