"""Vectors of class names, made from their spelling alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

DIMS = 300
STD = 0.28
_SHORTEST, _LONGEST = 3, 5  # characters of a piece of a word
_FILLERS = frozenset({'a', 'and', 'of', 'on', 'or', 'other', 'the', 'to', 'with'})


def label_vectors(
    names: Sequence[str], dims: int = DIMS, std: float = STD
) -> np.ndarray:
    """Vectors of names; names that share words, or parts of words, are near.

    A word and each of its pieces of 3 to 5 letters (ends marked) count as a random
    vector of +1 and -1, which are the bits of their hash; a word is the sum of them, of
    unit length, a name the mean of its words without fillers such as 'or'. The table is
    then scaled as a whole. So it is the same on every machine, needs no download, and
    knows nothing of meaning: 'nodding' and 'bowing head' are unrelated.

    MANet's published table (52 x 300, std 0.28, norms 2.8 to 5.8) is of word vectors of
    unknown source, and covers MA-52 only: this one takes over its size and scale, for
    which the weight of MANet's loss was chosen, not its content.

    Args:
        names: (K,) class names.
        dims: Numbers per name.
        std: Standard deviation of all numbers of the table.

    Returns:
        (K, dims), float32.

    Raises:
        ValueError: A name has no letter or digit.

    Source: pieces of words as in Bojanowski et al., 'Enriching Word Vectors with
    Subword Information', TACL 2017; signs as in Achlioptas, 'Database-friendly Random
    Projections', PODS 2001.
    """
    table = np.stack([_name_vector(name, dims) for name in names])
    return (table * (std / table.std())).astype(np.float32)


def _name_vector(name: str, dims: int) -> np.ndarray:
    words = re.findall(r'\w+', name.lower())
    if not words:
        raise ValueError(
            f'class name {name!r} has no letter or digit: label vectors are made from '
            'the spelling. Name the class.'
        )
    telling = [word for word in words if word not in _FILLERS] or words
    return np.mean([_word_vector(word, dims) for word in telling], axis=0)


def _word_vector(word: str, dims: int) -> np.ndarray:
    marked = f'<{word}>'
    pieces = {marked}
    for size in range(_SHORTEST, _LONGEST + 1):
        pieces |= {marked[i : i + size] for i in range(len(marked) - size + 1)}
    vector = np.sum([_signs(piece, dims) for piece in sorted(pieces)], axis=0)
    return vector / np.linalg.norm(vector)


def _signs(piece: str, dims: int) -> np.ndarray:
    """(dims,) of +1 and -1."""
    bits = hashlib.shake_256(piece.encode()).digest(-(-dims // 8))
    return np.unpackbits(np.frombuffer(bits, np.uint8))[:dims] * 2.0 - 1.0
