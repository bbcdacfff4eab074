import pytest

from mmma.packing.options import Following, PackOptions, read_following


def test_what_is_recorded():
    plain = PackOptions().as_dict()
    assert plain == {
        'codec': 'h264', 'short_side': 256, 'gop': 16, 'crf': 18,
        'preset': 'fast fastdecode', 'scaler': 'bicubic', 'crop': 'none',
    }  # fmt: skip
    cropped = PackOptions(crop='person', following=Following('left')).as_dict()
    assert cropped == {**plain, 'crop': 'person', 'margin': 0.15, 'person': 'left'}


@pytest.mark.parametrize(('text', 'rule'), [('right', 'right'), ('2', 2)])
def test_one_rule_for_all(text, rule):
    assert read_following(text) == Following(rule)


def test_rules_of_single_clips(tmp_path):
    file = tmp_path / 'who.csv'
    file.write_text('name,person\na,1\nb,left\n')
    following = read_following(str(file))
    assert [following.of(name) for name in 'abc'] == [1, 'left', 'largest']
    options = PackOptions(crop='person', following=following)
    assert len(options.as_dict()['person_file']) == 16


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'crop': 'persn'}, "unknown crop 'persn'"),
        ({'short_side': 8}, r'--short-side 8: must be in 16\.\.4096'),
        ({'gop': 0}, '--gop 0: must be'),
        ({'crf': 52}, '--crf 52: must be'),
        ({'margin': -1}, '--margin -1: must be'),
    ],
)
def test_bad_options(change, message):
    with pytest.raises(ValueError, match=message):
        PackOptions(**change)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('clip,who\n', 'who.csv:1: the header must be name,person'),
        ('name,person\na,1\na,2\n', 'who.csv:3: .*once'),
        ('name,person\na,\n', "who.csv:2: person ''"),
    ],
)
def test_bad_files(tmp_path, content, message):
    file = tmp_path / 'who.csv'
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_following(str(file))


def test_bad_rule_suggests():
    wanted = r"person 'rigth': use .* Did you mean 'right'"
    with pytest.raises(ValueError, match=wanted):
        read_following('rigth')
    with pytest.raises(FileNotFoundError, match=r'gone\.csv: no such file'):
        read_following('gone.csv')
