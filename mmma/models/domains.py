"""Domain generalisation in training, by ``domains=dict(type='GroupDRO')`` of a head.

Methods tell domains apart by the training set; with one they say so and are plain.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn

from mmma.registry import MODELS
from mmma.taxonomy import check_choice


class DomainMethod(nn.Module):
    """Part of a head that knows the domains (D names) of training and of samples."""

    names: tuple[str, ...] = ()

    def __init__(self, **options: float) -> None:
        super().__init__()
        self.called = type(self).__name__
        for key, value in options.items():
            if not value >= 0:
                raise ValueError(f'{self.called}: {key} {value}: use a number from 0.')
            setattr(self, key, value)

    def set_classes(self, dataset_meta: Mapping[str, Any]) -> None:
        """Learn the ``domains`` of a training set, which has ``labels``."""
        if {'labels', 'domains'} <= dataset_meta.keys():
            self.names = tuple(sorted(set(dataset_meta['domains'])))
            if len(self.names) == 1:
                told = f'{self.called}: one domain ({self.names[0]}): training is plain'
                print_log(told, 'current')

    def places(self, samples: Sequence[Any]) -> Tensor | None:
        """Number (N,) of each sample's domain, None where there is but one."""
        if len(self.names) == 1:
            return None
        own = [sample.metainfo.get('domain') for sample in samples]
        if not self.names:
            why = 'the domains of training are unknown: use ClassInfoHook, ClipDataset'
        elif any(len(sample.gt_label) > 1 for sample in samples):
            why = 'blended clips have no domain: model.data_preprocessor.blending=None'
        elif odd := {*own}.difference(self.names):
            why = f'samples of {odd}, not {self.names}: PackClip packs the domain'
        else:
            return torch.tensor([self.names.index(name) for name in own])
        raise ValueError(f'{self.called}: {why}.')

    def forward(self, loss: Callable, features: Tensor, samples: list) -> dict:
        """Losses by ``loss(features, samples)`` of features (N, C)."""
        return loss(features, samples)


@MODELS.register_module()
class GroupDRO(DomainMethod):
    """Minimise ``sum_d q_d L_d``, with L_d the mean losses of domains in a step.

    First each q_d is multiplied by ``exp(eta * L_d)``, then divided by the sum; L_d is
    over all processes, 0 of an absent domain. Buffers ``weight_DOMAIN`` are the q_d,
    equal at first. MANetHead's ``loss_embedding`` stays plain.

    Source: Sagawa et al., ICLR 2020, arXiv 1911.08731, algorithm 1; eta of their code.
    """

    def __init__(self, eta: float = 0.01) -> None:
        super().__init__(eta=eta)

    def set_classes(self, dataset_meta: Mapping[str, Any]) -> None:
        """Begin with equal weights, or go on with those of the same domains."""
        super().set_classes(dataset_meta)
        keys = [f'weight_{name}'.replace('.', '%2E') for name in self.names]
        if keys:  # without dots, which torch does not allow in them
            known = self._buffers if {*keys} == {*self._buffers} else {}
            equal = torch.tensor(1 / len(keys))
            self._buffers = {key: known.get(key, equal.clone()) for key in keys}

    def forward(self, loss: Callable, features: Tensor, samples: list) -> dict:
        """Losses, weighted; accuracies as they are; the weights."""
        if (places := self.places(samples)) is None:
            return loss(features, samples)
        parts, sums = {}, torch.zeros(2, len(self.names), device=features.device)
        for place in places.unique().tolist():
            own = (places == place).nonzero()[:, 0].tolist()
            parts[place] = loss(features[own], [samples[i] for i in own]), len(own)
            losses = (v.detach() for k, v in parts[place][0].items() if 'loss' in k)
            sums[0, place], sums[1, place] = len(own) * sum(losses), len(own)
        all_reduce(sums)  # (2, D), losses and clips of all processes
        q = torch.stack([*self._buffers.values()]).to(sums.device)
        q = q * (self.eta * sums[0] / sums[1].clamp_min(1)).exp()
        q = q / q.sum()
        self._buffers = dict(zip(self._buffers, map(torch.clone, q), strict=True))
        found = {k: w for k, w in self._buffers.items() if 'loss' not in k}  # to log
        for place, (part, size) in parts.items():
            # Processes average gradients; a mean over all clips is their sum.
            share = q[place] * get_world_size() * size / sums[1, place]
            for key, value in part.items():
                scale = share if 'loss' in key else size / len(samples)
                found[key] = found.get(key, 0) + scale * value
        return found

    def _load_from_state_dict(self, state_dict, prefix: str, *args: Any) -> None:
        """Take the weights of whatever domains are stored."""
        names = [name for name in state_dict if name.startswith(f'{prefix}weight_')]
        self._buffers = {n.removeprefix(prefix): state_dict[n].clone() for n in names}
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class CORAL(DomainMethod):
    """Add ``weight`` times the distance of domains, as ``loss_coral``.

    Of two domains with two clips or more each in a step, over all processes: the mean
    square between their means, plus that between covariances, of the features that the
    classifier sees; averaged over pairs. With equally many clips of each domain
    (``DomainBalancedSampler``) the whole loss is DomainBed's.

    Source: Sun and Saenko, 'Deep CORAL', arXiv 1607.01719; DomainBed, b93c22a.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight=weight)

    def forward(self, loss: Callable, features: Tensor, samples: list) -> dict:
        """Losses as they are, and the distance."""
        losses, places = loss(features, samples), self.places(samples)
        if places is not None:
            own, domains = features.float(), len(self.names)
            every, where = all_gather(own.detach()), all_gather(places.to(own.device))
            every[get_rank()] = own
            groups = [torch.cat(every)[torch.cat(where) == d] for d in range(domains)]
            known, pairs = [(x.mean(0), x.T.cov()) for x in groups if len(x) > 1], []
            for i, (mean, cov) in enumerate(known):
                for other, spread in known[:i]:
                    apart = (mean - other).square().mean()
                    pairs.append(apart + (cov - spread).square().mean())
            total = self.weight * sum(pairs, own.sum() * 0) / max(len(pairs), 1)
            # Processes average gradients; each has that of its own clips alone.
            rest = (total - total.detach()) * (get_world_size() - 1)
            losses['loss_coral'] = total + rest
        return losses


@MODELS.register_module()
class MixStyle(DomainMethod):
    """Mix the styles of clips of different domains behind ``layers`` of the backbone.

    They give maps (N, C, ...). The mean and deviation of a channel over all of a clip
    become, with probability ``p`` of a layer and step, a share by Beta(``alpha``,
    ``alpha``) of its own and the rest of a clip's of another domain in the step.

    Source: Zhou et al., ICLR 2021, arXiv 2104.02008, with domain labels.
    """

    def __init__(
        self, layers: Sequence[str] | str, p: float = 0.5, alpha: float = 0.1
    ) -> None:
        super().__init__(p=p, alpha=alpha)
        self.layers = [layers] if isinstance(layers, str) else layers
        if not alpha:
            raise ValueError('MixStyle: alpha 0: use a number above 0.')
        self.hooks, self.now = [], None

    def attach(self, model: nn.Module) -> None:
        """Mix whenever a recognizer computes losses."""
        while self.hooks:
            self.hooks.pop().remove()
        known = {name: part for name, part in model.backbone.named_modules() if name}
        for name in self.layers:
            layer = known[check_choice('layer of MixStyle', name, known)]
            if any(isinstance(part, nn.LayerNorm) for part in layer.modules()):
                told = f'MixStyle: {name} gives tokens, not maps (N, C, ...)'
                raise ValueError(f'{told}: use a network of convolutions.')
            self.hooks.append(layer.register_forward_hook(self._mix))
        begin = model.register_forward_pre_hook(self._begin, with_kwargs=True)
        self.hooks.append(begin)

    def _begin(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        learning = model.training and kwargs.get('mode') == 'loss'
        self.now = self.places(kwargs['data_samples']) if learning else None

    def _mix(self, layer: nn.Module, args: tuple, maps: Tensor) -> Tensor | None:
        if self.now is None or torch.rand(()) >= self.p:
            return None
        others = self.now[:, None] != self.now  # (N, N)
        others |= torch.diag(~others.any(dim=1))  # itself, where there is none
        partners = others.float().multinomial(1)[:, 0]
        beta = torch.distributions.Beta(self.alpha, self.alpha)
        return mix_styles(maps, beta.sample(partners.shape), partners)


def mix_styles(maps: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """Maps (N * S, C, ...) of N clips, with styles by shares (N,) their own."""
    x = maps.float().unflatten(0, (len(shares), -1))  # (N, S, C, ...)
    axes = [axis for axis in range(1, x.ndim) if axis != 2]
    var, mean = torch.var_mean(x.detach(), axes, keepdim=True)
    own, std = shares.to(x).view(-1, *[1] * (x.ndim - 1)), (var + 1e-6).sqrt()
    mixed, spread = (own * s + (1 - own) * s[partners] for s in (mean, std))
    return ((x - mean) / std * spread + mixed).flatten(0, 1).to(maps.dtype)
