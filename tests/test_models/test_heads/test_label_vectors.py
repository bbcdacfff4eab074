import numpy as np
import pytest

from mmma.models.heads.label_vectors import label_vectors
from mmma.taxonomy import load_label_space

NODDING = [0.226475, -0.377459, 0.075492, -0.075492]


@pytest.mark.parametrize(('space', 'actions'), [('mma82', 82), ('ma52', 52)])
def test_size_and_scale_of_the_published_table(space, actions):
    table = label_vectors(load_label_space(space).actions)
    assert table.shape == (actions, 300)
    assert table.dtype == np.float32
    assert table.std() == pytest.approx(0.28, rel=1e-5)
    norms = np.linalg.norm(table, axis=1)
    assert 2.5 < norms.min() < norms.max() < 7
    assert len(np.unique(table, axis=0)) == actions


def test_the_same_everywhere():
    table = label_vectors(['nodding', 'shaking head'])
    assert table[0, :4].tolist() == pytest.approx(NODDING, abs=1e-6)


def test_names_that_share_words_are_near():
    a, b, c = label_vectors(['touching hair', 'touching nose', 'waving'])
    cosine = np.corrcoef([a, b, c])
    assert cosine[0, 1] > 0.3
    assert abs(cosine[1, 2]) < 0.15


def test_the_order_of_names_moves_rows_only():
    names = ['nodding', 'waving', 'shrugging']
    np.testing.assert_allclose(label_vectors(names)[::-1], label_vectors(names[::-1]))


def test_fillers_do_not_count():
    a, b = label_vectors(['scratching or touching neck', 'scratching touching neck'])
    np.testing.assert_array_equal(a, b)


def test_a_name_without_letters_is_refused():
    with pytest.raises(ValueError, match=r"class name '\?!' has no letter"):
        label_vectors(['nodding', '?!'])
