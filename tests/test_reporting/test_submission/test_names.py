import pytest

from mmma.reporting.submission.names import (
    first_disorder,
    match_names,
    read_expected,
    shown,
    unique_stems,
)


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('b.mp4 0\na.mp4 0', ['b.mp4', 'a.mp4']),
        ('b\n\na\n', ['b', 'a']),
        ('vid,action_pred_1\nb.mp4,3\na.mp4,2\n', ['b.mp4', 'a.mp4']),
        ('id,pred_label_1\nb,3\na,2\n', ['b', 'a']),
        ('id,video_id,class\n0,b,1\n1,a,2\n2,b,3\n', ['b', 'a']),
        (',video-id\n0,b\n1,b\n', ['b']),
    ],
)
def test_lists_of_names(tmp_path, text, names):
    (tmp_path / 'list').write_text(text)
    assert read_expected(tmp_path / 'list') == names


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no names in it'),
        ('vid,x\n', 'no names in it'),
        ('a.mp4 0\nb 0\na 1\n', "1 names repeated: 'a'; list each once"),
        ('vid,x\na,1\na,2\n', '1 names repeated'),
        ('a.mp4,0\n', r'line 1 names no column video_id, .* \(a.mp4, 0\)'),
        ('x,vid\n1,a\n2\n', "row '2' has no column vid"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    (tmp_path / 'list').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_expected(tmp_path / 'list')


def test_missing_list(tmp_path):
    with pytest.raises(FileNotFoundError, match='list: no such file'):
        read_expected(tmp_path / 'list')


def test_names_match_with_or_without_suffix():
    matched = match_names(['a', 'b.mp4'], ['b.mp4', 'a.mp4'])
    assert list(matched.items()) == [('b.mp4', 'b.mp4'), ('a.mp4', 'a')]


def test_all_that_differs_is_told():
    with pytest.raises(
        ValueError,
        match=r"1 of 2 missing: 'test1.mp4'; 1 not in the list: 'tset1'.*mean 'test1'",
    ):
        match_names(['test0', 'tset1'], ['test0.mp4', 'test1.mp4'])


def test_two_names_for_one():
    with pytest.raises(ValueError, match=r"'a' and 'a.mp4' are the same official name"):
        unique_stems(['a', 'a.mp4'])


def test_first_disorder():
    assert first_disorder('abc', 'abc') is None
    assert first_disorder('abc', 'acb') == 1


def test_shown_stops_after_five():
    assert shown(list('abc')) == "'a', 'b', 'c'"
    assert shown(list('abcdef')).endswith("'e', ...")


def test_released_lists(shared_data):
    clips = read_expected(shared_data / 'ma52' / 'test_list_videos.txt')
    assert (len(clips), clips[0], clips[-1]) == (5586, 'test0000.mp4', 'test5585.mp4')
    videos = read_expected(shared_data / 'mma52' / 'test.csv')
    assert (len(videos), videos[0]) == (519, 'test0000')
