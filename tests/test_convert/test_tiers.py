"""ELAN and Praat files: round trips, what independent readers see, files of others."""

import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise

import pytest

from mmma.convert.events import Event, Recording, format_function
from mmma.taxonomy import load_label_space

pytest.importorskip('pympi')
praat = pytest.importorskip('praatio.textgrid')

SPACE = load_label_space(
    {
        'name': 'own',
        'bodies': ['head', 'Hände'],
        'actions': [
            {'name': 'nodding', 'body': 'head'},
            {'name': 'shaking', 'body': 'head', 'description': 'left "right"'},
            {'name': 'Kneten & Reiben', 'body': 'Hände'},
        ],
    }
)
EVENTS = (
    Event(0.5, 2.0, 'nodding'),
    Event(1.0, 3.25, 'shaking', score=0.8312, text='zögert "sehr"\nkurz // nie'),
    Event(1.2, 1.9, 'nodding', text='a third row'),
    Event(1.5, 1.9, 'nodding', 'P 2', tier='face'),
    Event(2.0, 2.0, 'Kneten & Reiben', text='"Punkt"'),
    Event(2.0, 2.0, 'Kneten & Reiben', score=0.0),
    Event(3.25, 4.001, 'shaking', score=1e-5),
    Event(5.0, 5.001, 'nodding', 'P 2', tier='camera 2'),
)
RECORDINGS = [
    Recording('a', '/home/x/Vidéo 1.mp4', 29.97, 10.0104, EVENTS, 'Ana', 'P', 'home'),
    Recording('day 1/b', 'rel/v.mp4', events=(Event(0, 1, 'nodding'),) * 3),
    Recording('c', 'D:/vids/x y.mp4', 25.0, 7.0, (), 'simulated model'),
]
BOTH = pytest.mark.parametrize('kind', ['elan', 'textgrid'])


def plain(recording):
    """Everything but the order of events and NaN."""
    values = dict(vars(recording), events=sorted(map(repr, recording.events)))
    return {key: value for key, value in values.items() if value == value}


@BOTH
def test_what_is_written_is_read_as_it_was(kind, tmp_path):
    files = format_function('write', kind)(tmp_path, RECORDINGS, SPACE)
    assert [file.stem for file in files] == ['a', 'b', 'c']
    found = format_function('read', kind)(tmp_path)
    exact = [
        replace(
            r,
            events=tuple(
                replace(e, start_sec=float(e.start_sec), end_sec=float(e.end_sec))
                for e in r.events
            ),
        )
        for r in RECORDINGS
    ]
    assert [*map(plain, found)] == sorted(map(plain, exact), key=lambda r: r['name'])
    (alone,) = format_function('read', kind)(files[0])
    assert plain(alone) == plain(exact[0])


@BOTH
def test_what_no_tier_can_hold(kind, tmp_path):
    for event, message in (
        (Event(1, 2, ''), 'has no label'),
        (Event(2, 1, 'nodding'), 'has no time of the video'),
        (Event(-1, 1, 'nodding'), 'has no time of the video'),
        (Event(0, 1, 'nodding', text='\x1b'), 'has control characters'),
        (Event(0, 1, 'nodding', tier='a@b'), 'name holds "@"'),
    ):
        with pytest.raises(ValueError, match=message):
            format_function('write', kind)(
                tmp_path, [Recording('v', events=(event,))], SPACE
            )
    with pytest.raises(
        ValueError, match=r"video '\.\./v' cannot be the name of a file"
    ):
        format_function('write', kind)(tmp_path, [Recording('../v')], SPACE)
    with pytest.raises(FileNotFoundError, match='file is in it'):
        format_function('read', kind)(tmp_path)


def test_pympi_sees_tiers_vocabularies_and_media(tmp_path):
    from pympi import Eaf

    file, *_ = format_function('write', 'elan')(tmp_path, RECORDINGS, SPACE)
    eaf = Eaf(str(file))
    names = ['head', 'head 2', 'head 3', 'Hände (points)', 'Hände 2 (points)', 'Hände']
    names = [*names, 'face@P 2', 'camera 2@P 2']
    assert {n for n in eaf.get_tier_names() if not n.endswith(('-score', '-text'))} >= {
        *names
    }
    spans = {
        n: [(s, e, v) for s, e, v, *_ in eaf.get_annotation_data_for_tier(n)]
        for n in names
    }
    assert spans['head'] == [(500, 2000, 'nodding'), (3250, 4001, 'shaking')]
    assert spans['head 2'] == [(1000, 3250, 'shaking')]
    assert spans['Hände (points)'] == [(2000, 2033, 'Kneten & Reiben')]  # a frame
    assert spans['Hände'] == []  # to be clicked
    facts = eaf.get_parameters_for_tier('face@P 2')
    assert (facts['PARTICIPANT'], facts['ANNOTATOR']) == ('P 2', 'Ana')
    assert eaf.get_ref_annotation_data_for_tier('head 2-score')[0][2] == '0.8312'
    assert eaf.get_parameters_for_tier('head 2-text')['PARENT_REF'] == 'head 2'
    entries = eaf.controlled_vocabularies['head'][1].values()
    assert [(v[0][0], v[0][2]) for v, _ in entries] == [
        ('nodding', None),
        ('shaking', 'left "right"'),
    ]
    own = eaf.linguistic_types[
        eaf.get_parameters_for_tier('head 3')['LINGUISTIC_TYPE_REF']
    ]
    assert own['CONTROLLED_VOCABULARY_REF'] == 'head'
    (media,) = eaf.media_descriptors
    assert media['MEDIA_URL'] == 'file:///home/x/Vidéo 1.mp4'
    assert media['RELATIVE_MEDIA_URL'].startswith('./..')
    assert media['MIME_TYPE'] == 'video/mp4'


def test_files_of_elan_have_the_form_of_its_schema(tmp_path):
    for file in format_function('write', 'elan')(tmp_path, RECORDINGS, SPACE):
        tree = ET.parse(file).getroot()
        order = [child.tag for child in tree]
        ranks = ['HEADER', 'TIME_ORDER', 'TIER', 'LINGUISTIC_TYPE', 'LANGUAGE']
        ranks += ['CONSTRAINT', 'CONTROLLED_VOCABULARY']
        assert order == sorted(order, key=ranks.index)
        for kind, key in (
            ('TIER', 'TIER_ID'),
            ('TIME_SLOT', 'TIME_SLOT_ID'),
            ('CV_ENTRY_ML', 'CVE_ID'),
        ):
            ids = [one.get(key) for one in tree.iter(kind)]
            assert len({*ids}) == len(ids)
        slots = {
            s.get('TIME_SLOT_ID'): int(s.get('TIME_VALUE'))
            for s in tree.iter('TIME_SLOT')
        }
        assert [*slots.values()] == sorted(slots.values())
        types = {t.get('LINGUISTIC_TYPE_ID') for t in tree.iter('LINGUISTIC_TYPE')}
        for tier in tree.iter('TIER'):
            assert tier.get('LINGUISTIC_TYPE_REF') in types
            spans = [
                (slots[a.get('TIME_SLOT_REF1')], slots[a.get('TIME_SLOT_REF2')])
                for a in tier.iter('ALIGNABLE_ANNOTATION')
            ]
            assert all(start < end for start, end in spans)
            assert all(one[1] <= other[0] for one, other in pairwise(spans))


def spanned(key, first, last, value):
    refs = f'TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{last}"'
    return f"""<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{key}" {refs}>
<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"""


def referring(key, parent, value, more=''):
    refs = f'ANNOTATION_ID="{key}" ANNOTATION_REF="{parent}" {more}'
    return f"""<ANNOTATION><REF_ANNOTATION {refs}>
<ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"""


def kind(name, constraint):
    facts = f'LINGUISTIC_TYPE_ID="{name}" CONSTRAINTS="{constraint}"'
    return f'<LINGUISTIC_TYPE TIME_ALIGNABLE="false" {facts}/>'


EAF = f"""<?xml version="1.0" encoding="ENCODING"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2019-01-01T00:00:00+01:00" FORMAT="3.0"
 VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/a/sound.wav" MIME_TYPE="audio/x-wav"/>
<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/a%20b/front.mp4" MIME_TYPE="video/mp4"
 TIME_ORIGIN="250"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
<TIME_SLOT TIME_SLOT_ID="ts2"/><TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2000"/>
<TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="3000"/></TIME_ORDER>
<TIER TIER_ID="Gesten" LINGUISTIC_TYPE_REF="all" PARTICIPANT="Zoë" ANNOTATOR="Max">
{spanned('a1', 1, 2, 'nodding')}{spanned('a2', 2, 3, 'größer')}{spanned('a3', 3, 4, '')}
</TIER><TIER TIER_ID="comment@Zoë" LINGUISTIC_TYPE_REF="free" PARENT_REF="Gesten">
{referring('a4', 'a1', 'schnell')}
</TIER><TIER TIER_ID="phase" LINGUISTIC_TYPE_REF="parts" PARENT_REF="Gesten">
{referring('a6', 'a2', 'stroke', 'PREVIOUS_ANNOTATION="a5"')}
{referring('a5', 'a2', 'prep')}
</TIER><LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="all" TIME_ALIGNABLE="true"/>
{kind('free', 'Symbolic_Association')}{kind('parts', 'Symbolic_Subdivision')}
</ANNOTATION_DOCUMENT>"""


@pytest.mark.parametrize(
    ('version', 'encoding'), [('2.5', 'UTF-16'), ('3.0', 'ISO-8859-1')]
)
def test_a_file_of_elan_itself(version, encoding, tmp_path, capsys):
    file = tmp_path / 'tape 1.eaf'
    text = EAF.replace('3.0', version).replace('ENCODING', encoding)
    file.write_bytes(text.encode(encoding))
    (found,) = format_function('read', 'elan')(tmp_path)
    assert (found.name, found.path) == ('tape 1', 'C:/a b/front.mp4')  # the video
    assert (found.annotator, math.isnan(found.fps)) == ('Max', True)
    assert [*found.events] == [  # 250 ms of the video come before the file's zero
        Event(1.25, 1.75, 'nodding', 'Zoë', text='comment@Zoë: schnell', tier='Gesten'),
        Event(1.75, 2.0, 'prep', tier='phase'),
        Event(1.75, 2.25, 'größer', 'Zoë', tier='Gesten'),
        Event(2.0, 2.25, 'stroke', tier='phase'),
        Event(2.25, 3.25, '', 'Zoë', tier='Gesten'),
    ]
    assert (
        '1 times are not set: spread between their neighbours'
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('</TIME_ORDER>', ''),
        ('"milliseconds"', '"PAL-frames"'),
        ('TIME_SLOT_REF2="ts4"', 'TIME_SLOT_REF2="ts9"'),
        ('ANNOTATION_REF="a1"', 'ANNOTATION_REF="a4"'),
        ('TIME_VALUE="1000"', 'TIME_VALUE="soon"'),
        ('<ANNOTATION_VALUE>schnell</ANNOTATION_VALUE>', ''),
    ],
)
def test_a_damaged_file_of_elan(old, new, tmp_path):
    text = EAF.replace('ENCODING', 'UTF-8')
    (tmp_path / 'v.eaf').write_text(text.replace(old, new), encoding='utf-8')
    with pytest.raises(
        ValueError, match=r'v\.eaf: not readable as ELAN \(.+\): open it'
    ):
        format_function('read', 'elan')(tmp_path)


def test_praatio_sees_intervals_and_points(tmp_path):
    file, *_ = format_function('write', 'textgrid')(tmp_path, RECORDINGS, SPACE)
    grid = praat.openTextgrid(str(file), False)
    assert grid.tierNames[:4] == ('head', 'head 2', 'head 3', 'Hände (points)')
    assert grid.maxTimestamp == 10.0104
    assert [*grid.getTier('head').entries[1]] == [3.25, 4.001, 'shaking [1e-05]']
    assert grid.getTier('Hände 2 (points)').entries[0].label == 'Kneten & Reiben [0.0]'
    assert grid.getTier('camera 2@P 2').entries[0].end == 5.001


def write_grid(path, form, encoding='utf-8', **tiers):
    grid = praat.Textgrid()
    for name, entries in tiers.items():
        kind = praat.PointTier if len(entries[0]) == 2 else praat.IntervalTier
        grid.addTier(kind(name, entries, 0, 9))
    grid.save(str(path), form, includeBlankSpaces=True)
    path.write_bytes(path.read_text('utf-8').encode(encoding))


@pytest.mark.parametrize('form', ['long_textgrid', 'short_textgrid'])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_textgrid_of_praat_itself(form, encoding, tmp_path):
    tiers = {'gesture': [(1, 2.5, 'nodding'), (3, 4, 'größer "ja" [0.5]')]}
    tiers |= {'gesture 2': [(2.6, 2.9, 'apart')], 'clicks@Zoë': [(1.5, 'a "b"')]}
    write_grid(tmp_path / 'v.TextGrid', form, encoding, **tiers)
    (found,) = format_function('read', 'textgrid')(tmp_path)
    assert (found.name, found.duration_sec, found.path) == ('v', 9.0, '')
    assert [*found.events] == [
        Event(1, 2.5, 'nodding', tier='gesture'),
        Event(1.5, 1.5, 'a "b"', 'Zoë', tier='clicks'),
        Event(2.6, 2.9, 'apart', tier='gesture 2'),  # overlaps none: a tier of its own
        Event(3, 4, 'größer "ja"', score=0.5, tier='gesture'),
    ]


def test_textgrids_that_cannot_be_read(tmp_path):
    for content, message in (
        ('Läuft'.encode('latin-1'), 'neither UTF-8 nor UTF-16: choose one of them'),
        (b'ooBinaryFile\x08TextGrid', r'not readable as TextGrid \(.*save it as text'),
    ):
        (tmp_path / 'v.TextGrid').write_bytes(content)
        with pytest.raises(ValueError, match=message):
            format_function('read', 'textgrid')(tmp_path)
    event = Event(0, 1, 'nodding [0.5]')
    with pytest.raises(ValueError, match='would be read otherwise'):
        format_function('write', 'textgrid')(
            tmp_path, [Recording('v', events=(event,))], SPACE
        )


def test_a_package_that_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__('sys').modules, 'pympi.Elan', None)
    (tmp_path / 'v.eaf').write_text('x')
    with pytest.raises(ValueError, match=r"pip install 'mmma\[annotation\]'"):
        format_function('read', 'elan')(tmp_path)
