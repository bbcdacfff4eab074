"""Head of MANet: scores and an embedding of label names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmma.models.heads.action_head import ActionHead
from mmma.registry import MODELS
from mmma.taxonomy import load_label_space

DIMS = 300
STD = 0.28
_SHORTEST, _LONGEST = 3, 5  # characters of a piece of a word
_FILLERS = frozenset({'a', 'and', 'of', 'on', 'or', 'other', 'the', 'to', 'with'})


def label_vectors(names: Sequence[str]) -> np.ndarray:
    """Vectors of names; names that share words, or parts of words, are near.

    A word and each of its pieces of 3 to 5 letters (ends marked) count as a random
    vector of +1 and -1, which are the bits of their hash; a word is the sum of them, of
    unit length, a name the mean of its words without fillers such as 'or'. The table is
    then scaled as a whole. So it is the same on every machine, needs no download, and
    knows nothing of meaning: 'nodding' and 'bowing head' are unrelated.

    MANet's published table (52 x 300, std 0.28, norms 2.8 to 5.8) is of word vectors of
    unknown source, and covers MA-52 only: this one takes over its size and scale, for
    which the weight of MANet's loss was chosen, not its content.

    Returns:
        (K, 300), float32, for K class names.

    Raises:
        ValueError: A name has no letter or digit.

    Source: pieces of words as in Bojanowski et al., 'Enriching Word Vectors with
    Subword Information', TACL 2017; signs as in Achlioptas, 'Database-friendly Random
    Projections', PODS 2001.
    """
    table = []
    for name in names:
        words = re.findall(r'\w+', name.lower())
        if not words:
            raise ValueError(
                f'class name {name!r} has no letter or digit: label vectors are made '
                'from the spelling. Name the class.'
            )
        telling = [word for word in words if word not in _FILLERS] or words
        table.append(np.mean([_word_vector(word) for word in telling], axis=0))
    return (np.stack(table) * (STD / np.std(table))).astype(np.float32)


def _word_vector(word: str) -> np.ndarray:
    marked = f'<{word}>'
    pieces = {marked}
    for size in range(_SHORTEST, _LONGEST + 1):
        pieces |= {marked[i : i + size] for i in range(len(marked) - size + 1)}
    vector = np.sum([_signs(piece) for piece in sorted(pieces)], axis=0)
    return vector / np.linalg.norm(vector)


def _signs(piece: str) -> np.ndarray:
    """(300,) of +1 and -1."""
    bits = hashlib.shake_256(piece.encode()).digest(-(-DIMS // 8))
    return np.unpackbits(np.frombuffer(bits, np.uint8))[:DIMS] * 2.0 - 1.0


@MODELS.register_module()
class MANetHead(ActionHead):
    """``ActionHead`` of segments with a second target: the vector of the label.

    ``CE(fc_cls(x), y) + 50 * MSE(fc_emb_t(tanh(fc_emb(x))), E[y])``, both branches
    averaged over the frames of a clip; soft labels mix the rows of E. Testing uses the
    classifier only. E is made from the class names by :func:`label_vectors`, anew in
    every run, and is not in checkpoints. Each branch draws its own dropout.

    Args:
        num_classes: K.
        in_channels: D.
        label_space: Whose names E is made of until :meth:`set_classes` is called.
        embedding_weight: Of the mean squared error.
        **kwargs: As in ``ActionHead``; ``pooling`` is ``segments``.

    Raises:
        ValueError: A label space of another size, or another pooling.

    Source: Guo et al., 'Benchmarking Micro-action Recognition', TCSVT 2024;
    VUT-HFUT/Micro-Action, e38d2417.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        label_space: str = 'mma82',
        embedding_weight: float = 50.0,
        **kwargs: Any,
    ) -> None:
        if kwargs.setdefault('pooling', 'segments') != 'segments':
            raise ValueError(
                f"pooling {kwargs['pooling']!r}: MANetHead takes 'segments' only."
            )
        super().__init__(num_classes, in_channels, label_space=label_space, **kwargs)
        names = load_label_space(label_space).actions
        self._check_size('num_classes', num_classes, len(names))
        self.embedding_weight = embedding_weight
        self.fc_emb = nn.Linear(in_channels, DIMS)
        self.fc_emb_t = nn.Linear(DIMS, DIMS)
        vectors = torch.from_numpy(label_vectors(names))
        self.register_buffer('label_vectors', vectors, persistent=False)

    def init_weights(self) -> None:
        """Draw all linear layers with ``init_std``; biases start at 0."""
        super().init_weights()
        for layer in (self.fc_emb, self.fc_emb_t):
            nn.init.normal_(layer.weight, std=self.init_std)
            nn.init.zeros_(layer.bias)

    def set_classes(self, dataset_meta: Mapping[str, Any]) -> None:
        """Learn classes as ``ActionHead``, and make E of the names ``classes`` (K,)."""
        super().set_classes(dataset_meta)
        if 'classes' in dataset_meta:
            vectors = torch.from_numpy(label_vectors(dataset_meta['classes']))
            self.label_vectors.copy_(vectors)

    def embed(self, feats: Tensor) -> Tensor:
        """Vectors (N * views, 300) of backbone features (N*S, D, h, w)."""
        frames = self.dropout(feats.mean(dim=(2, 3)))  # (N*S, D)
        vectors = self.fc_emb_t(self.fc_emb(frames).tanh())
        return vectors.unflatten(0, (-1, self.num_segments)).mean(dim=1)

    def loss(self, feats: Tensor, data_samples: list, **kwargs: Any) -> dict:
        """Losses of ``ActionHead``, and ``loss_embedding``."""
        losses = super().loss(feats, data_samples, **kwargs)
        labels = torch.stack([s.gt_label for s in data_samples]).to(feats.device)
        if labels.shape[1] == 1:
            target = self.label_vectors[labels[:, 0]]  # (N, 300)
        else:
            target = labels.float() @ self.label_vectors
        error = F.mse_loss(self.embed(feats).float(), target)
        losses['loss_embedding'] = self.embedding_weight * error
        return losses
