import time
from dataclasses import replace

import numpy as np
import pytest

from mmma.data.clips import (
    REQUIRED,
    Clip,
    body_map,
    is_named,
    read_names,
    read_rec,
    scan_rec,
    span_frames,
    write_rec,
)
from mmma.taxonomy import load_label_space

FOREHEAD = 'scratching or touching forehead'
GOOD = 'a,v/a.mp4,train,lab,s1,nodding,'


def test_rows_become_clips(rec_file, space):
    nodding, head = space.action_id('nodding'), space.body_id('head')
    rows = ['a,v/a.mp4,train,lab,s1,nodding,head', 'b,,train,lab,s,0,']
    rows += ['', 'c,,test,lab,,,', 'd,,test,lab,,,head']
    clips = read_rec(rec_file(*rows), space)
    assert clips == [
        Clip('a', 'v/a.mp4', 'train', 'lab', 's1', nodding, head),
        Clip('b', '', 'train', 'lab', 's', 0, space.body_of[0]),
        Clip('c', '', 'test', 'lab', '', None, None),
        Clip('d', '', 'test', 'lab', '', None, head),
    ]
    assert [clip.line for clip in clips] == [2, 3, 5, 6]


def test_body_of_the_file_wins_over_the_space_and_fills_its_rows(rec_file, space):
    path = rec_file('a,,train,lab,s,nodding,', 'b,,train,lab,s,nodding,body')
    clips = read_rec(path, space)
    body = space.body_id('body')
    assert [clip.body for clip in clips] == [body, body]
    assert body_map(clips, space).body_of[clips[0].action] == body


@pytest.mark.parametrize('separator', [',', ';', '\t', '|'])
def test_a_table_as_spreadsheets_save_it(tmp_path, space, separator):
    columns = [*REQUIRED, 'start_sec', 'end_sec', '', '']
    row = [
        ' e\u0301 (1)',
        'v/a,5.mp4',
        'train ',
        'lab',
        's',
        'nodding',
        '',
        '0,5',
        '12,250',
    ]
    if separator == ',':
        row[1], row[-2:] = '"v/a,5.mp4"', ['"0,5"', '12.250']
    more = ['b', '', 'val', 'lab', 's', 'nodding', '', '', '']
    table = [columns, row, [''] * 7, more]
    lines = [separator.join(cells) for cells in table]
    path = tmp_path / 'rec.csv'
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16'):
        path.write_bytes('\r\n'.join([*lines, '']).encode(encoding))
        a, b = read_rec(path, space)
        assert (a.clip, a.path, a.subset) == ('\u00e9 (1)', 'v/a,5.mp4', 'train')
        assert (a.start_sec, a.end_sec, a.line, b.line) == (0.5, 12.25, 2, 4)


@pytest.mark.parametrize(
    ('groups', 'body'), [('taxonomy', 'head-hand'), ('statistics', 'body-hand')]
)
def test_disputed_body_follows_the_option_where_the_file_is_silent(
    rec_file, groups, body
):
    space = load_label_space('mma82', groups)
    clip = read_rec(rec_file(f'a,,train,lab,s,{FOREHEAD},'), space)[0]
    assert space.bodies[clip.body] == body


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        ('x,,validation,lab,s,nodding,', "unknown subset 'validation'"),
        ('x,,trian,lab,s,nodding,', "Did you mean 'train'"),
        ('x,,train,streets,s,nodding,', "domain 'streets'.*Did you mean 'street'"),
        ('x,,train,lab,s,noding,', "unknown action 'noding'.*Did you mean 'nodding'"),
        ('x,,train,lab,s,82,', "unknown action '82'"),
        ('x,,train,lab,s,-1,', "unknown action '-1'"),
        ('x,,train,lab,s,nodding,haed', "body group 'haed'.*Did you mean 'head'"),
        ('a,,train,lab,s,nodding,', r'duplicate clip \(first in line 2\)'),
        (',,train,lab,s,nodding,', 'clip has no name'),
        ('x,../x.mp4,train,lab,s,nodding,', "'../x.mp4' leaves the data root"),
        ('x,/x.mp4,train,lab,s,nodding,', "'/x.mp4' leaves the data root"),
        ('x,,train,lab,s,nodding', '6 fields, the header has 7'),
        ('x,,train,lab,s,nodding,,y', '8 fields, the header has 7'),
    ],
)
def test_bad_rows(rec_file, space, row, message):
    clips, odd = scan_rec(rec_file(GOOD, row), space)
    assert [clip.clip for clip in clips][:1] == ['a']
    with pytest.raises(ValueError, match=rf'rec\.csv:3: .*{message}'):
        odd.notes(strict=True)


@pytest.mark.parametrize(
    ('start', 'end'), [('2', '1'), ('1', '1'), ('-1', '2'), ('x', '2'), ('1', ''),
                       ('nan', '1'), ('1', 'inf')]
)  # fmt: skip
def test_bad_times(rec_file, space, start, end):
    header = 'clip,path,subset,domain,subject,action,body,start_sec,end_sec'
    path = rec_file(f'a,,train,lab,s,nodding,,{start},{end}', header=header)
    with pytest.raises(ValueError, match=r'rec.csv:2: a: .*0 <= start_sec < end_sec'):
        read_rec(path, space)


def test_most_rows_of_an_action_tell_its_body(rec_file, space, capsys):
    rows = ['a,,train,lab,s,nodding,head', 'b,,train,lab,s,nodding,body']
    clips = read_rec(rec_file(*rows, 'c,,train,lab,s,nodding,body'), space)
    assert {clip.body for clip in clips} == {space.body_id('body')}
    assert capsys.readouterr().err == (
        "note: 1 of 3 rows repaired or left out of rec.csv: a: body 'head' for "
        "action 'nodding', but 2 rows say 'body': one action has one body group\n"
    )
    clips = read_rec(rec_file(*rows), space)  # of equals that of the label space
    assert {clip.body for clip in clips} == {space.body_id('head')}


def test_a_body_that_is_none_is_that_of_the_action(rec_file, space, capsys):
    clips = read_rec(rec_file(GOOD, 'x,,train,lab,s,nodding,haed'), space)
    assert clips[1].body == space.body_of[clips[1].action]
    assert '1 of 2 rows repaired or left out' in capsys.readouterr().err


def test_odd_rows_are_left_out_and_told(rec_file, space, capsys):
    odd = ['x,,train,lab,s,noding,', 'a,,val,lab,s,nodding,', 'y,,train,lab,s']
    good = [f'c{i},,train,lab,s,nodding,' for i in range(3)]
    clips = read_rec(rec_file(GOOD, *odd, *good), space)
    assert [clip.clip for clip in clips] == ['a', 'c0', 'c1', 'c2']
    told = capsys.readouterr().err
    assert told.startswith('note: 3 of 7 rows repaired or left out of rec.csv: x: unk')
    assert 'a: duplicate clip (first in line 2); y: 5 fields' in told
    with pytest.raises(ValueError, match=r'rec\.csv: 3 problems'):
        read_rec(rec_file(GOOD, *odd, good[0]), space)


def test_an_index_outside_puts_all_in_doubt(rec_file, space):
    good = [f'c{i},,train,lab,s,{i},' for i in range(9)]
    with pytest.raises(ValueError, match="unknown action '82'"):
        read_rec(rec_file(*good, 'x,,train,lab,s,82,'), space)


def test_every_bad_row_is_found_and_good_ones_kept(rec_file, space):
    rows = [f'c{i},,train,lab,s,nod,' for i in range(9)]
    clips, odd = scan_rec(rec_file(*rows, GOOD), space)
    assert [problem.line for problem in odd.problems] == list(range(2, 11))
    assert [clip.clip for clip in clips] == ['a']


@pytest.mark.parametrize(
    ('header', 'message'),
    [
        ('', 'empty file; the first line must be clip,path'),
        ('clip,path,subset,domain,subject,action', "no column 'body'"),
        ('clip,path,subset,domain,subject,action,body,body', "'body' is there twice"),
        (
            'clip,path,subset,domain,subject,action,body,start',
            "unknown column 'start'. Did you mean 'start_sec'",
        ),
    ],
)
def test_bad_headers(tmp_path, space, header, message):
    path = tmp_path / 'rec.csv'
    path.write_text(header)
    with pytest.raises(ValueError, match=message):
        read_rec(path, space)


def test_own_columns_are_left_alone(rec_file, space):
    header = 'clip,path,subset,domain,subject,action,body,camera_angle'
    assert len(read_rec(rec_file(f'{GOOD},12', header=header), space)) == 1
    with pytest.raises(ValueError, match='empty table: a header and no clip'):
        read_rec(rec_file(), space)


def test_not_csv(rec_file, space, monkeypatch):
    monkeypatch.setattr('csv.field_size_limit', None)
    path = rec_file(GOOD, 'x' * 200_000 + ',,,,,,')
    with pytest.raises(ValueError, match=r'rec.csv:\d: not readable as CSV: field'):
        read_rec(path, space)


@pytest.mark.parametrize(
    ('path', 'source', 'named'),
    [
        ('videos/lab/0003_01.mp4', 'V001', False),
        ('videos/lab/0003_01.mp4', 'videos/V001.mp4', False),
        ('cut/V001.mp4', 'raw/V001.mp4', False),
        ('videos/V001.5.mp4', 'V001', False),
        ('videos/V001.mp4', 'V001', True),
        ('videos/V001.mp4', 'V001.avi', True),
        ('videos/v001.MP4', 'V001.mp4', True),
        ('videos/V001.mp4', 'videos/v001', True),
        ('videos/V001.mp4', '', False),
        ('videos/Ä 1.mp4', 'A\u0308 1', True),
    ],
)
def test_a_file_is_named_by_its_source(path, source, named):
    assert is_named(path, source) == named


@pytest.mark.parametrize(
    ('span', 'frames'),
    [
        ((1, 2), (25, 50, 2)),  # whatever the row calls its source
        ((2, 3.05), (50, 75, 3)),  # rounded
        ((12, 15), (0, 75, 3)),  # as long as the file: it was cut to it already
        ((12.1, 15), (0, 75, 3)),
        ((1, 4), (0, 75, 3)),
        ((1, 3.5), None),
        ((12, 14), None),
        ((2, 6), None),
    ],
)
def test_frames_of_a_span(span, frames):
    times = np.arange(75) / 25
    if frames is None:
        with pytest.raises(ValueError, match='ends after the file'):
            span_frames(times, 3.0, span)
    else:
        assert span_frames(times, 3.0, span) == frames


@pytest.mark.parametrize(
    ('texts', 'seconds'),
    [
        ('00:01:02.5,1:04', (62.5, 64)),
        ('"00:01:02,500",01:00:00', (62.5, 3600)),
        ('0:00,0:00.04', (0, 0.04)),
        ('0,"2,5"', (0, 2.5)),
        ('0,"1,234"', None),  # or a thousand
        ('1:75,2:00', None),
        ('00:00:01:12,00:00:02:00', None),
        ('-1:00,2:00', None),
        ('nan,2', None),
        ('2:00,', None),
    ],
)
def test_times_as_clocks_show_them(rec_file, space, texts, seconds):
    header = ','.join([*REQUIRED, 'start_sec', 'end_sec'])
    path = rec_file(f'a,v.mp4,train,lab,s,nodding,,{texts}', header=header)
    if seconds:
        assert read_rec(path, space)[0].span == seconds
        return
    with pytest.raises(ValueError, match='in seconds or as HH:MM:SS'):
        read_rec(path, space)


def test_written_rows_read_back_and_labels_are_names(tmp_path, space):
    clips = [
        Clip('a,"b', 'v/a b.mp4', 'train', 'lab', 's1', 3, space.body_of[3]),
        Clip('b', '', 'test', 'emotion', '', None, None, 'sad', 'film', 0.1, 2.5),
    ]
    path = tmp_path / 'rec.csv'
    write_rec(path, clips, space)
    span = replace(clips[1], path='film')  # a span of its source
    assert read_rec(path, space) == [clips[0], span]
    header, first, second = path.read_text().splitlines()
    assert header.endswith('body,emotion,source_video,start_sec,end_sec')
    assert space.actions[3] in first
    assert second == 'b,,test,emotion,,,,sad,film,0.1,2.5'
    write_rec(path, [Clip('a', '', 'train', 'lab', '', 0, None)], space)
    name = space.actions[0]  # optional columns are written where they are used
    assert path.read_text() == f'{",".join(REQUIRED)}\na,,train,lab,,{name},\n'


def test_a_full_table_reads_in_well_under_a_second(tmp_path, space):
    clip = Clip('', 'videos/lab/x.mp4', 'train', 'lab', 's', 0, None)
    rows = (replace(clip, clip=f'c{i}', action=i % 82) for i in range(39_816))
    write_rec(tmp_path / 'rec.csv', rows, space)

    def seconds():
        start = time.process_time()
        assert len(read_rec(tmp_path / 'rec.csv', space)) == 39_816
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 1  # the quietest: others share the cores


def shifted(space, first=1, last=81):
    """Rows by index from 1, with the right body groups beside them."""
    return [
        f'c{i},,train,lab,s,{i},{space.bodies[space.body_of[i - 1]]}'
        for i in range(first, last + 1)
    ]


def test_groups_of_shifted_labels_are_told(rec_file, space, capsys):
    assert len(read_rec(rec_file(*shifted(space)), space)) == 81
    told = capsys.readouterr().err
    assert 'warning: rec.csv: labels are indices 1..81; none is 0: they are' in told
    assert (
        'warning: rec.csv: 5 of 82 actions have another body group than the taxonomy'
        in told
    )
    assert "(here: 'nodding': 'body', " in told
    assert told.endswith('; labels counted from 1?\n')


def test_shifted_groups_are_told_where_most_rows_repair_them(rec_file, space, capsys):
    right = [
        f'r{i},,val,lab,s,{space.actions[i]},{space.bodies[space.body_of[i]]}'
        for i in range(82)
    ]
    twice = [*shifted(space), *(f'x{row}' for row in shifted(space))]
    read_rec(rec_file(*right, *twice), space)
    told = capsys.readouterr().err
    assert 'rows repaired or left out' in told
    assert '5 of 82 actions have another body group' in told
    read_rec(rec_file(*right, *shifted(space)), space)  # of equals the published one
    assert '5 of 82 actions have another body group' in capsys.readouterr().err
    read_rec(rec_file(*right, *(f'x{row}' for row in right), *shifted(space)), space)
    assert 'of 82 actions' not in capsys.readouterr().err


def test_a_single_group_of_ones_own_is_a_choice(rec_file, space, capsys):
    disputed = 'b,,train,lab,s,scratching or touching forehead,body-hand'
    read_rec(rec_file('a,,train,lab,s,nodding,body', disputed), space)
    read_rec(rec_file('a,,train,lab,s,0,', 'b,,train,lab,s,5,'), space)
    read_rec(rec_file('a,,train,lab,s,5,', 'b,,train,lab,s,nodding,'), space)
    read_rec(rec_file('a,,test,lab,s,,'), space)
    assert not capsys.readouterr().err


def test_lists_of_names_with_and_without_columns(tmp_path):
    path = tmp_path / 'list'
    for text, column, names in (
        ('a (1).mp4 0\n\n b, 2.mp4 12 0 \n', '', ['a (1).mp4', 'b, 2.mp4']),
        ('a 1.mp4,-1\nb.mp4;3\n', '', ['a 1.mp4', 'b.mp4']),
        ('a\t0\nb', '', ['a', 'b']),
        ('clip\na\nb 1\n', 'clip', ['a', 'b 1']),
        ('x;clip\n"1;2"; "a, b"\n;;\n', 'clip', ['a, b']),
    ):
        path.write_text(text, encoding='utf-16')
        assert read_names(path, ('vid', 'clip')) == (names, column)
    path.write_text('a;b\n1;2\n')
    with pytest.raises(ValueError, match=r'line 1 names no column vid, clip \(a, b\)'):
        read_names(path, ('vid', 'clip'))
    path.write_text('x;clip\n1\n')
    with pytest.raises(ValueError, match="row '1' has no column clip"):
        read_names(path, ('vid', 'clip'))
