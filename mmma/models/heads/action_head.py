"""Head for scores of actions and, if asked, of body groups."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmaction.models.heads import BaseHead
from torch import Tensor, nn

from mmma.models.domains import DomainMethod
from mmma.registry import MODELS
from mmma.taxonomy import check_choice, load_label_space

POOLINGS = {'clip': (2, 3, 4), 'graph': (1, 3, 4), 'segments': (2, 3), 'none': ()}
"""Axes of the features that each pooling averages, all but views and channels."""
_TOKEN_AXES = {'clip': (3, 4), 'graph': (1, 4), 'segments': (2, 3)}
AVERAGES = ('prob', 'score')
_FLOOR = 1e-30  # of body probabilities: keeps the fusion of contradictions finite


def fill_options(
    where: str, defaults: Mapping[str, float], given: Mapping[str, float]
) -> dict[str, float]:
    """Join defaults and what is given in ``where``; unknown, negative: ValueError."""
    for key, value in given.items():
        check_choice('option', key, defaults, where)
        if not value >= 0:
            name = where.partition(' ')[0]
            raise ValueError(f'{name}.{key} {value}: use a number from 0.')
    return {**defaults, **given}


class ClassesOfData:
    """Part of a head that knows its classes and body groups, if its space has any."""

    num_bodies = 0

    def _know_bodies(
        self,
        label_space: str | Mapping[str, Any],
        where: str,
        body: Any,
        **defaults: float,
    ) -> bool:
        """Take the options of a head that scores body groups; False for none."""
        space = load_label_space(label_space)
        if body is None or not space.bodies:
            return False
        self.body = fill_options(f'body of {where}', defaults, body)
        self._check_size('num_classes', self.num_classes, space.num_actions)
        self.num_bodies = space.num_bodies
        self.register_buffer('body_of', torch.tensor(space.body_of), persistent=False)
        return True

    def set_classes(self, dataset_meta: Mapping[str, Any]) -> None:
        """Take ``body_of`` (K,) of a data set; other numbers of classes: ValueError."""
        for key, own in (('classes', self.num_classes), ('bodies', self.num_bodies)):
            if own and key in dataset_meta:
                self._check_size(key, own, len(dataset_meta[key]))
        if self.num_bodies and 'body_of' in dataset_meta:
            self.body_of.copy_(torch.as_tensor(list(dataset_meta['body_of'])))

    @staticmethod
    def _check_size(key: str, own: int, theirs: int) -> None:
        if own != theirs:
            raise ValueError(
                f'{key}: the head is built for {own}, the data or the label space has '
                f'{theirs}. Let label_space of the config and the data root agree.'
            )


@MODELS.register_module()
class ActionHead(ClassesOfData, BaseHead):
    """Pooling, dropout and a linear classifier; the head of every recipe.

    It gives the logits and losses of MMAction2's ``I3DHead`` (pooling ``clip``),
    ``GCNHead`` (``graph``), ``TSMHead`` (``segments``), ``TimeSformerHead`` (``none``),
    but starts plain normal: mmengine's truncated normal yields its bound of 2 about
    once in 16 million draws, 100,000 std at VideoMAE's ``init_std`` of 2e-5.

    With ``body`` a second classifier, ``fc_body``, sees the same features. Its
    targets follow from those of the actions, its cross entropy is added with
    ``loss_weight``, and in testing its probabilities are fused into those of the
    actions by :func:`fuse_bodies` unless ``fusion_weight`` is 0.

    A sample gets ``pred_score`` (K,), ``pred_label`` (1,) and with ``body``
    ``pred_body_score`` (B,), the softmax of ``fc_body`` averaged over views.

    Args:
        num_classes, in_channels: K, and D of the features.
        pooling: ``clip`` for (N, D, T, H, W), ``graph`` for (N, M, D, T, V),
            ``segments`` for (N*S, D, H, W), ``none`` for (N, D).
        num_segments: S, frames of one view; of ``segments`` only.
        dropout_ratio: Share of features dropped in training, with ``segments`` frame
            by frame.
        init_std: Standard deviation of the classifiers' first weights.
        label_smooth_eps: Share of a target that is spread evenly, on both levels.
        average_clips: Average probabilities (``prob``) or logits (``score``) over
            views; either way the scores are probabilities.
        label_space: Whose body groups count until :meth:`set_classes` is called.
        body: ``loss_weight`` and ``fusion_weight``; None leaves bodies out.
        domains: What training makes of domains, a type of :mod:`mmma.models.domains`.
        **kwargs: ``topk`` and ``init_cfg`` of ``BaseHead``.

    Raises:
        ValueError: An unknown option, or a label space of another size.
    """

    class_layers = ('fc_cls',)
    body_layers = ('fc_body',)

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        pooling: str = 'clip',
        num_segments: int = 8,
        dropout_ratio: float = 0.5,
        init_std: float = 0.01,
        loss_cls: Mapping[str, Any] | None = None,
        label_smooth_eps: float = 0.0,
        average_clips: str = 'prob',
        label_space: str | Mapping[str, Any] = 'mma82',
        body: Mapping[str, float] | None = None,
        domains: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_classes,
            in_channels,
            loss_cls=loss_cls or dict(type='CrossEntropyLoss'),
            label_smooth_eps=label_smooth_eps,
            average_clips=check_choice('average_clips', average_clips, AVERAGES),
            **kwargs,
        )
        self.pooling = check_choice('pooling', pooling, tuple(POOLINGS))
        self.num_segments, self.init_std = num_segments, init_std
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc_cls = nn.Linear(in_channels, num_classes)
        self.fc_body: nn.Linear | None = None
        weights = dict(loss_weight=1.0, fusion_weight=1.0)
        if self._know_bodies(label_space, 'ActionHead', body, **weights):
            self.fusion_weight = self.body['fusion_weight']
            self.fc_body = nn.Linear(in_channels, self.num_bodies)
        self.domains: DomainMethod | None = MODELS.build(domains) if domains else None

    def init_weights(self) -> None:
        """Draw all linear layers with ``init_std``; biases start at 0."""
        for layer in self.children():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=self.init_std)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def set_classes(self, dataset_meta: Mapping[str, Any]) -> None:
        """Learn bodies, and count ``labels`` from 0 for a loss that asks for them."""
        super().set_classes(dataset_meta)
        if 'labels' in dataset_meta and hasattr(self.loss_cls, 'set_class_counts'):
            counts = count_labels(dataset_meta['labels'], self.num_classes)
            self.loss_cls.set_class_counts(counts)

    def pool(self, x: Tensor) -> Tensor:
        """Features (N * views, D) that the classifiers see, after dropout.

        Raises:
            ValueError: ``x`` has another shape than ``pooling`` takes.
        """
        axes = POOLINGS[self.pooling]
        if x.ndim != 2 + len(axes):
            raise ValueError(
                f'features of shape {tuple(x.shape)} do not fit pooling '
                f'{self.pooling!r} of ActionHead, which takes '
                f'{2 + len(axes)} dimensions: choose another pooling.'
            )
        x = self.dropout(x.mean(dim=axes) if axes else x)  # (N or N*S, D)
        if self.pooling != 'segments':
            return x
        if len(x) % self.num_segments:
            raise ValueError(
                f'{len(x)} frames are no multiple of num_segments '
                f'{self.num_segments} of ActionHead: sample as many per view.'
            )
        return x.unflatten(0, (-1, self.num_segments)).mean(dim=1)  # (N, D)

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        """Logits (N * views, K) of backbone features; see :meth:`pool`."""
        return self.fc_cls(self.pool(x))

    def loss(self, feats: Tensor, data_samples: list, **kwargs: Any) -> dict:
        """Losses of samples with ``gt_label``, an index (1,) or shares (K,).

        ``loss_cls``, with ``body`` also ``loss_body``; and of hard labels ``top1_acc``,
        ``top5_acc``, with ``body`` also ``body_top1_acc``.
        """
        features = self.pool(feats).reshape(len(data_samples), -1)  # streams as one
        if self.domains is None:
            return self._losses(features, data_samples)
        return self.domains(self._losses, features, data_samples)

    def _losses(self, features: Tensor, data_samples: list) -> dict:
        # NumPy, in which upstream computes accuracies, has no bfloat16.
        losses = self.loss_by_feat(self.fc_cls(features).float(), data_samples)
        if self.fc_body is not None:
            logits = self.fc_body(features).float()
            groups = F.one_hot(self.body_of, self.num_bodies).float()  # (K, B)
            target = _targets(data_samples, groups)
            if len(data_samples[0].gt_label) == 1:
                hits = logits.detach().argmax(dim=1) == target.argmax(dim=1)
                losses['body_top1_acc'] = hits.float().mean()
            smoothing = self.label_smooth_eps
            loss = F.cross_entropy(logits, target, label_smoothing=smoothing)
            losses['loss_body'] = self.body['loss_weight'] * loss
        return losses

    def predict(self, feats: Tensor, data_samples: list, **kwargs: Any) -> list:
        """Score samples; views are what there are more features than samples."""
        features = self.pool(feats)
        views = len(features) // len(data_samples)
        scores = self._probabilities(self.fc_cls(features), views)
        if self.fc_body is not None:
            bodies = self._probabilities(self.fc_body(features), views, 'prob')
            for sample, body in zip(data_samples, bodies, strict=True):
                sample.pred_body_score = body
            if self.fusion_weight > 0:
                scores = fuse_bodies(scores, bodies, self.body_of, self.fusion_weight)
        for sample, score in zip(data_samples, scores, strict=True):
            sample.set_pred_score(score)
            sample.set_pred_label(score.argmax(dim=-1, keepdim=True))
        return data_samples

    def _probabilities(
        self, logits: Tensor, views: int, average: str | None = None
    ) -> Tensor:
        """(N * views, K) logits to (N, K) probabilities."""
        logits = logits.float().unflatten(0, (-1, views))
        if (average or self.average_clips) == 'prob':
            return logits.softmax(dim=-1).mean(dim=1)
        return logits.mean(dim=1).softmax(dim=-1)

    def _load_from_state_dict(self, state_dict, prefix: str, *args: Any) -> None:
        """Take ``fc.`` of MMAction2's skeleton heads as ``fc_cls.``."""
        for part in ('weight', 'bias'):
            old, new = f'{prefix}fc.{part}', f'{prefix}fc_cls.{part}'
            if old in state_dict and new not in state_dict:
                state_dict[new] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class TwoStreamHead(ActionHead):
    """``ActionHead`` of two streams, frames and heatmaps; a clip's score is their mean.

    With the same weights it gives the losses of MMAction2's ``RGBPoseHead``, and the
    mean of its two scores. The streams are two views of a clip, for one classifier: its
    columns are those of the first, those of the second, and the biases of both, so that
    few-shot and probes, which know one linear layer, see both streams. ``in_channels``
    are those of frames and heatmaps, ``loss_weights`` of their losses; other options
    are those of ``ActionHead``.

    Raises:
        ValueError: More or fewer than two of a kind.

    Source: MMAction2, rgbpose_head.py; one to one: rgbpose_conv3d/README.md, Results.
    """

    streams = ('rgb', 'pose')

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        loss_weights: Sequence[float] = (1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        if len(in_channels) != 2 or len(loss_weights) != 2:
            raise ValueError(
                f'in_channels {in_channels}, loss_weights {loss_weights}: give two '
                'numbers each, of frames and of heatmaps.'
            )
        super().__init__(num_classes, sum(in_channels) + 2, **kwargs)
        self.first, self.loss_weights = in_channels[0], tuple(loss_weights)
        self.fc_cls = nn.Linear(self.in_channels, num_classes, bias=False)

    def init_weights(self) -> None:
        """Draw the weights as ``ActionHead``; the biases start at 0."""
        super().init_weights()
        nn.init.zeros_(self.fc_cls.weight[:, -2:])

    def pool(self, x: Sequence[Tensor]) -> Tensor:
        """Features (N * views * 2, D) of both streams, in turn, for one classifier."""
        rgb, pose = (super(TwoStreamHead, self).pool(part) for part in x)
        both = rgb.new_zeros(len(rgb), 2, self.in_channels)
        both[:, 0, : self.first], both[:, 1, self.first : -2] = rgb, pose
        both[:, 0, -2] = both[:, 1, -1] = 1  # whose weights are the biases
        return both.flatten(0, 1)  # (N * views, 2, D) -> (N * views * 2, D)

    def _losses(self, features: Tensor, data_samples: list) -> dict:
        """Losses of each stream, as ``rgb_loss_cls`` and so on, of (N, 2 * D)."""
        losses, views = {}, features.unflatten(1, (2, -1)).unbind(dim=1)
        for name, x, weight in zip(self.streams, views, self.loss_weights, strict=True):
            for key, value in super()._losses(x, data_samples).items():
                losses[f'{name}_{key}'] = weight * value if 'loss' in key else value
        return losses

    def _load_from_state_dict(self, state_dict, prefix: str, *args: Any) -> None:
        """Take ``fc_rgb.`` and ``fc_pose.`` of ``RGBPoseHead`` as ``fc_cls.``."""
        keys = [f'{prefix}fc_{s}.{p}' for p in ('weight', 'bias') for s in self.streams]
        if all(key in state_dict for key in keys):
            *weights, rgb, pose = (state_dict.pop(key) for key in keys)
            columns = torch.cat([*weights, rgb[:, None], pose[:, None]], dim=1)
            state_dict[f'{prefix}fc_cls.weight'] = columns
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class TokenHead(ActionHead):
    """``ActionHead`` that averages over space and persons, but not over time.

    A clip's tokens take the place of its views: features are (N * views * T', D).
    """

    def pool(self, x: Tensor) -> Tensor:
        """Tokens (N * views * T', D), in order of time within a view.

        Raises:
            ValueError: ``x`` has another shape.
        """
        if x.ndim != 2 + len(POOLINGS[self.pooling]) or self.pooling == 'none':
            raise ValueError(
                f'features of shape {tuple(x.shape)} hold no tokens for pooling '
                f'{self.pooling!r}: the backbone must give a map of them.'
            )
        x = x.mean(dim=_TOKEN_AXES[self.pooling])  # (N*S, D) or (N, D, T)
        return x if x.ndim == 2 else x.transpose(1, 2).flatten(0, 1)  # -> (N*T, D)


def _targets(data_samples: list, table: Tensor) -> Tensor:
    """Rows (N, D) of a table (K, D) for labels of samples; shares (K,) mix them."""
    labels = torch.stack([s.gt_label for s in data_samples]).to(table.device)
    return table[labels[:, 0]] if labels.shape[1] == 1 else labels.float() @ table


def fuse_bodies(
    actions: Tensor, bodies: Tensor, body_of: Tensor, weight: float
) -> Tensor:
    """Probabilities of actions, agreeing with those of their body groups.

    ``p(a) ~ p_action(a) * p_body(body_of(a)) ** weight``, renormalised, from (N, K) and
    (N, B) to (N, K); an action of probability 0 keeps it, a body below 1e-30 counts as
    1e-30. Weight 0 leaves the actions as they are; 1 is the plain product.

    Source: SoftRerank (Micro-Action Challenge 2026), F1_mean of MA-52 on val: 75.25
        without, 77.30 by product of experts, 79.09 by its soft fusion, whose formula
        is not known: the exponent is our choice.
    """
    log_bodies = bodies.clamp_min(_FLOOR).log()[:, body_of]  # (N, K)
    return (actions.log() + weight * log_bodies).softmax(dim=-1)


def count_labels(labels: Sequence[Any], num_classes: int) -> Tensor:
    """Clips of each class, (K,); a label is an index or several, below 0 withheld."""
    many = (x if isinstance(x, (list, tuple)) else [x] for x in labels)
    known = [i for classes in many for i in classes if i >= 0]
    return torch.tensor(known, dtype=torch.long).bincount(minlength=num_classes)


LABEL_DIMS = 300
LABEL_STD = 0.28
_SHORTEST, _LONGEST = 3, 5  # characters of a piece of a word
_FILLERS = frozenset({'a', 'and', 'of', 'on', 'or', 'other', 'the', 'to', 'with'})


def label_vectors(names: Sequence[str]) -> np.ndarray:
    """Vectors of names; names that share words, or parts of words, are near.

    A word and each of its pieces of 3 to 5 letters (ends marked) are random vectors of
    +1 and -1, the bits of their hash; a word is their sum, of unit length, a name the
    mean of its words without fillers such as 'or'. It is the same on every machine and
    knows nothing of meaning: 'nodding' and 'bowing head' are unrelated.

    (K, 300), float32: size and scale are those of MANet's published table (52 word
    vectors of unknown source, std 0.28), for which the weight of its loss was chosen.

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
    return (np.stack(table) * (LABEL_STD / np.std(table))).astype(np.float32)


def _word_vector(word: str) -> np.ndarray:
    marked = f'<{word}>'
    pieces = {marked}
    for size in range(_SHORTEST, _LONGEST + 1):
        pieces |= {marked[i : i + size] for i in range(len(marked) - size + 1)}
    size = -(-LABEL_DIMS // 8)
    hashes = [hashlib.shake_256(p.encode()).digest(size) for p in sorted(pieces)]
    bits = np.unpackbits(np.frombuffer(b''.join(hashes), np.uint8).reshape(-1, size), 1)
    vector = (bits[:, :LABEL_DIMS] * 2.0 - 1.0).sum(axis=0)  # of +1 and -1
    return vector / np.linalg.norm(vector)


@MODELS.register_module()
class MANetHead(ActionHead):
    """``ActionHead`` of segments with a second target: the vector of the label.

    ``CE(fc_cls(x), y) + 50 * MSE(fc_emb_t(tanh(fc_emb(x))), E[y])``, both branches
    averaged over the frames of a clip; soft labels mix the rows of E. Testing uses the
    classifier only. E is made from the class names by :func:`label_vectors`, anew in
    every run, and is not in checkpoints. Each branch draws its own dropout. 50 is the
    default of ``embedding_weight``; other options are those of ``ActionHead``.

    Raises:
        ValueError: A label space of another size, or another pooling.

    Source: Guo et al., 'Benchmarking Micro-action Recognition', TCSVT 2024;
    VUT-HFUT/Micro-Action, e38d2417.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        label_space: str | Mapping[str, Any] = 'mma82',
        embedding_weight: float = 50.0,
        **kwargs: Any,
    ) -> None:
        pooling = kwargs.setdefault('pooling', 'segments')
        if pooling != 'segments':
            raise ValueError(f"pooling {pooling!r}: MANetHead takes 'segments' only.")
        super().__init__(num_classes, in_channels, label_space=label_space, **kwargs)
        names = load_label_space(label_space).actions
        self._check_size('num_classes', num_classes, len(names))
        self.embedding_weight = embedding_weight
        self.fc_emb = nn.Linear(in_channels, LABEL_DIMS)
        self.fc_emb_t = nn.Linear(LABEL_DIMS, LABEL_DIMS)
        vectors = torch.from_numpy(label_vectors(names))
        self.register_buffer('label_vectors', vectors, persistent=False)

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
        target = _targets(data_samples, self.label_vectors)  # (N, 300)
        error = F.mse_loss(self.embed(feats).float(), target)
        losses['loss_embedding'] = self.embedding_weight * error
        return losses
