"""Tables, numbers, and where two texts differ."""

import pytest

from mmma.reporting.zoo_markdown import (
    billions,
    licence,
    link,
    megabytes,
    millions,
    span,
    table,
    text_differences,
)


def test_a_table():
    assert table(['name', 'a|b'], [['x', '1']]) == [
        '| name | a\\|b |', '|:--|--:|', '| x | 1 |', '',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('found', 'text'),
    [
        (link('a', 'b.md'), '[a](b.md)'),
        (millions(1_234_567), '1.23'),
        (millions(None), '–'),
        (billions(1_200_000_000), '1.20'),
        (billions(62_700_000), '0.0627'),
        (billions(0), '–'),
        (megabytes(1_580_000), '1.58 MB'),
        (megabytes(None), 'unknown'),
        (span(['9.5', '10.0', '–']), '9.5–10.0'),
        (span(['9.5', '9.5']), '9.5'),
        (span(['–']), '–'),
    ],
)
def test_cells(found, text):
    assert found == text


def test_a_recipe_may_have_a_licence_of_its_own():
    method = {'License': {'Pretrained Weights': 'MIT'}}
    assert licence(method, {}) == 'MIT'
    assert licence(method, {'License': {'Pretrained Weights': '–'}}) == '–'
    assert licence({}, {}) == '–'


@pytest.mark.parametrize(
    ('old', 'new', 'said'),
    [
        ('a\n| x | 1 |\n', 'a\n| x | 2 |\n', ["line 2: '1' should be '2'"]),
        ('a\nb\n', 'a\nc\n', ["line 2: 'b' should be 'c'"]),
        ('a\nc\n', 'a\nb\nc\n', ["line 2: 'b' is missing"]),
        ('a\nb\nc\n', 'a\nc\n', ["line 2: 'b' should not be there"]),
        ('a\n' + 'b' * 70, 'a\n', [f"line 2: '{'b' * 60}...' should not be there"]),
        ('a\r\n', 'a\n', ['line 1: its end is not one line break']),
        ('a', 'a', []),
    ],
)
def test_differences_name_the_line_and_the_number(old, new, said):
    assert list(text_differences(old, new)) == said
