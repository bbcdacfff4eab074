"""A learnt reranker: the likeliest actions of a clip, looked at a second time.

The model stays as it is. Of its k likeliest actions a small network sees each with the
clip's features, the probabilities of the action and of its body group, and whether it
is of the group of the first. What it finds is added to the log probability:

    s(a) = log p(a) + weight * g(x, a, p),   p'(a) ~ softmax of s over the k

which share the probability that they had together; all other actions keep theirs, so
one that is doubted may fall behind them. It
starts as the model's own order, and learns on the train clips of the protocol's source
whose action is among the k. Its weight is chosen by Top-1 on val clips of the same
domains; 0, the order as it was, is among those tried, and wins ties.

Source: SoftRerank (arXiv 2609.08221) reports for MA-52 that a learnt reranker of the
first actions brings F1_mean from 79.09 to 79.99; its structure is not published as code
we know: features, sizes and schedule are ours.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmma.engine.features import Features, FeatureSource, domain_groups
from mmma.engine.run import Run
from mmma.evaluation.rows import Group

WEIGHTS = (0.0, 0.25, 0.5, 1.0)
EPOCHS, BATCH_SIZE, RATE, DECAY = 20, 64, 1e-3, 0.1
_WIDTH = 64
_FLOOR = 1e-12  # of probabilities


class Reranker(nn.Module):
    """Scores of the k likeliest actions of clips, from features and probabilities.

    Args:
        dims: D of the features.
        body_of: (K,) group of each action; one for all where there are none.
        k: Actions of a clip that are looked at, from 2 to K.
    """

    def __init__(self, dims: int, body_of: Sequence[int], k: int) -> None:
        super().__init__()
        self.k, self.weight = k, 1.0
        self.register_buffer('body_of', torch.tensor(body_of))
        self.norm = nn.LayerNorm(dims)
        self.look = nn.Linear(dims, _WIDTH)
        self.action = nn.Embedding(len(body_of), _WIDTH)
        self.body = nn.Embedding(max(body_of) + 1, _WIDTH)
        last = nn.Linear(_WIDTH, 1)
        nn.init.zeros_(last.weight)
        hidden = nn.Linear(_WIDTH + 3, _WIDTH), nn.GELU(), nn.Dropout(0.2)
        self.score = nn.Sequential(*hidden, last)

    def forward(self, x: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The k likeliest actions (N, k) of clips, likeliest first, and their s (N, k).

        Takes features (N, D) and probabilities (N, K).
        """
        first = scores.sort(dim=1, descending=True, stable=True).indices[:, : self.k]
        groups = self.body_of[first]  # (N, k)
        sums = scores.new_zeros(len(scores), self.body.num_embeddings)
        sums = sums.index_add(1, self.body_of, scores)  # (N, B)
        own, body = scores.gather(1, first), sums.gather(1, groups)
        known = [own.clamp_min(_FLOOR).log(), body.clamp_min(_FLOOR).log()]
        known.append((groups == groups[:, :1]).float())
        seen = self.look(self.norm(x))[:, None]  # (N, 1, W)
        seen = seen * (self.action(first) + self.body(groups))  # (N, k, W)
        found = self.score(torch.cat([seen, torch.stack(known, dim=2)], dim=2))
        return first, known[0] + self.weight * found[..., 0]

    @torch.no_grad()
    def rerank(self, found: Features) -> np.ndarray:
        """Probabilities (N, K) of clips with features and scores."""
        scores = torch.from_numpy(found.scores).float()
        if not self.weight:
            return found.scores
        first, order = self(torch.from_numpy(found.features).mean(dim=1), scores)
        share = scores.gather(1, first).sum(dim=1, keepdim=True)
        return scores.scatter(1, first, share * order.softmax(dim=1)).numpy()


def fit_reranker(
    train: tuple[Features, np.ndarray],
    val: tuple[Features, np.ndarray],
    body_of: Sequence[int],
    k: int,
    seed: int = 0,
) -> tuple[Reranker, dict[str, Any]]:
    """Train a reranker on clips with known actions (N,), and choose its weight on val.

    Returns:
        The reranker, and what ``results.json`` tells of it: ``k``, ``weight`` and the
        weights ``tried`` with ``val_top1`` in percent.

    Raises:
        ValueError: ``k`` does not fit, or no train clip's action is among the k.
    """
    if not 2 <= k <= len(body_of):
        raise ValueError(f'--rerank {k}: use a number of actions, 2 to {len(body_of)}.')
    found, labels = train
    x, y = torch.from_numpy(found.features).mean(dim=1), torch.from_numpy(labels)
    scores = torch.from_numpy(found.scores).float()
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed)
        model = Reranker(x.shape[1], body_of, k)
        kept = (model(x, scores)[0] == y[:, None]).any(dim=1)
        if not kept.any():
            raise ValueError(f'no train clip has its action among the first {k}.')
        x, scores, y = x[kept], scores[kept], y[kept]
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
        steps = EPOCHS * math.ceil(len(x) / BATCH_SIZE)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH_SIZE):
                first, order = model(x[rows], scores[rows])
                target = (first == y[rows, None]).float().argmax(dim=1)
                optimizer.zero_grad()
                F.cross_entropy(order, target).backward()
                optimizer.step()
                rate.step()
    model.eval()
    tried = []
    for model.weight in WEIGHTS:
        hits = model.rerank(val[0]).argmax(axis=1) == val[1]
        tried.append({'weight': model.weight, 'val_top1': 100 * float(hits.mean())})
    model.weight = max(tried, key=lambda one: one['val_top1'])['weight']
    return model, {'k': k, 'weight': model.weight, 'epochs': EPOCHS, 'tried': tried}


def score_reranked(
    run: Run, source: FeatureSource, k: int, subset: str
) -> tuple[list[Group], Mapping[str, Any]]:
    """Reranked scores of the tested clips, and the record of the reranker.

    Groups are those of ``score_protocol``, in-domain or zero-shot.

    Raises:
        ValueError: The source has no labelled train or val clips; as
            :func:`fit_reranker`.
    """
    protocol, space = run.protocol, run.space
    action = {c.clip: c.action for c in run.clips() if c.action is not None}
    parts: dict[Any, set[str]] = {(c.subset, c.domain): set() for c in run.clips()}
    for clip in run.clips():
        if clip.clip in action:
            parts[clip.subset, clip.domain].add(clip.clip)

    def known(subset: str) -> tuple[Features, np.ndarray]:
        own = {d: parts.get((subset, d)) for d in protocol.train_domains}
        if not any(own.values()):
            told = ', '.join(protocol.train_domains)
            raise ValueError(f'--rerank needs {subset} clips with actions of {told}.')
        streams = [source.stream(subset, d, names) for d, names in own.items() if names]
        found = Features.join({name: row for rows in streams for name, row in rows})
        return found, np.array([action[name] for name in found.names])

    body_of = space.body_of if space.bodies else [0] * space.num_actions
    model, record = fit_reranker(
        known('train'), known('val'), body_of, k, protocol.seed
    )
    print_log(f'reranker: {record}', 'current')
    domains = [d for d in protocol.test_domains if (subset, d) in parts]
    found = [source.features(subset, domain) for domain in domains]
    found = [replace(part, scores=model.rerank(part)) for part in found]
    return domain_groups(protocol, domains, found), record
