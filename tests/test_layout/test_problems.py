from pathlib import Path

import pytest

from mmma.layout.problems import Problem, refuse


@pytest.mark.parametrize(
    ('problem', 'text'),
    [
        (Problem('rec.csv', 3, 'a', 'bad'), 'rec.csv:3: a: bad'),
        (Problem('rec.csv', 0, 'a', 'bad'), 'rec.csv: a: bad'),
        (Problem('rec.csv', 3, '', 'bad'), 'rec.csv:3: bad'),
    ],
)
def test_a_problem_as_text(problem, text):
    assert str(problem) == text


def test_first_five_are_shown_and_the_rest_counted():
    problems = [Problem('f', line, f'c{line}', 'bad') for line in range(1, 8)]
    with pytest.raises(ValueError, match='7 problems') as error:
        refuse(problems, Path('f'), 'look there')
    text = str(error.value)
    assert 'f:5: c5: bad' in text
    assert 'c6' not in text
    assert text.endswith('... and 2 more (look there)')


def test_one_problem_is_one():
    with pytest.raises(ValueError, match=r'^f: 1 problem\n  f:1: bad$'):
        refuse([Problem('f', 1, '', 'bad')], Path('f'))


def test_nothing_wrong_is_no_error():
    refuse([], Path('f'))
