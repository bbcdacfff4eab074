"""Parameter groups."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmma.models.backbones.shift_resnet import GroupContext
from mmma.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmma.taxonomy import suggest

_ADAPTER = ('adapters_lr',)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class AdapterOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Three groups: adapters, weights of all else, and what does not decay.

    All of an adapter decays, biases and scale too, at a rate of its own. Outside, only
    matrices and convolutions decay: biases, norms and learned scales do not. Frozen
    parameters are left out.

    ``optim_wrapper.paramwise_cfg`` holds ``adapters_lr``, a multiple of the learning
    rate; 1 where it is left out.

    Raises:
        ValueError: An unknown option, an ``adapters_lr`` that is not above 0, ``lr`` or
            ``weight_decay`` missing, or ``adapters_lr`` for a model without adapters.

    Source: OpenTAD, configs/adatad and cores/optimizer.py, cd0ca96f.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        # MMEngine makes no groups where the options are empty.
        super().__init__(optim_wrapper_cfg, paramwise_cfg or {'adapters_lr': None})

    def _validate_cfg(self) -> None:
        for name in self.paramwise_cfg:
            if name not in _ADAPTER:
                raise ValueError(
                    f'unknown option {name!r} in optim_wrapper.paramwise_cfg: adapters '
                    f'have {", ".join(_ADAPTER)}.{suggest(name, _ADAPTER)}'
                )
        rate = self.paramwise_cfg.get('adapters_lr')
        if rate is not None and not rate > 0:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.adapters_lr is {rate}: use a number '
                'above 0, such as 4.'
            )
        for name, value in (('lr', self.base_lr), ('weight_decay', self.base_wd)):
            if value is None:
                raise ValueError(
                    f'optim_wrapper.optimizer lacks {name}: each group gets its own, '
                    f'so write {name}=... (0 is allowed).'
                )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append the groups.

        Args:
            params: Groups for the optimizer; extended in place.
            module: The whole model.
            **kwargs: Of the parent class; unused.

        Raises:
            ValueError: ``adapters_lr`` is given and nothing is an adapter.
        """
        groups: dict[str, list] = {}
        for name, param in module.named_parameters():
            if param.requires_grad:
                groups.setdefault(_kind(name, param), []).append(param)
        rate = self.paramwise_cfg.get('adapters_lr')
        if rate is not None and 'adapters' not in groups:
            raise ValueError(
                'optim_wrapper.paramwise_cfg.adapters_lr: the model has no adapters. '
                'Use VideoMAETIA, or leave the option out.'
            )
        params.extend(
            dict(
                params=members,
                group_name=kind,
                lr=self.base_lr * ((rate or 1) if kind == 'adapters' else 1),
                weight_decay=0.0 if kind == 'plain' else self.base_wd,
            )
            for kind, members in groups.items()
        )
        sizes = {kind: len(members) for kind, members in groups.items()}
        print_log(f'parameter groups: {sizes}', logger='current')


def _kind(name: str, param: nn.Parameter) -> str:
    if '.adapter.' in f'.{name}':
        return 'adapters'
    scale = name.rpartition('.')[2] == 'scale'  # some have axes to broadcast over
    return 'plain' if param.ndim < 2 or scale else 'weights'


_DECAY = ('decay_rate',)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Layer-wise learning rate decay; biases and 1-D parameters get no weight decay.

    A parameter of layer i of a backbone with L layers learns at
    ``lr * decay_rate**(L + 1 - i)``: the embedding is layer 0, block k is layer k + 1,
    the last norm and all that is not in the backbone are layer L + 1. The backbone
    tells its layers by ``num_layers`` and ``layer_of(name)``, as ``VideoMAEViT`` does.

    Configured by ``optim_wrapper.constructor`` and
    ``optim_wrapper.paramwise_cfg = dict(decay_rate=0.75)``; the optimizer has to name
    ``lr`` and ``weight_decay``.

    Raises:
        ValueError: ``decay_rate``, ``lr`` or ``weight_decay`` is missing or out of
            range, an unknown option, or a backbone that does not tell its layers.

    Source: MCG-NJU/VideoMAE, optim_factory.py, 14ef8d85.
    """

    def _validate_cfg(self) -> None:
        for name in self.paramwise_cfg:
            if name not in _DECAY:
                raise ValueError(
                    f'unknown option {name!r} in optim_wrapper.paramwise_cfg: layer '
                    f'decay has {", ".join(_DECAY)}.{suggest(name, _DECAY)}'
                )
        rate = self.paramwise_cfg.get('decay_rate')
        if rate is None or not 0 < rate <= 1:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.decay_rate is {rate}: use a number above '
                '0 and up to 1, such as 0.75; 1 gives every layer the same rate.'
            )
        for name, value in (('lr', self.base_lr), ('weight_decay', self.base_wd)):
            if value is None:
                raise ValueError(
                    f'optim_wrapper.optimizer lacks {name}: layer decay gives every '
                    f'group its own, so write {name}=... (0 is allowed).'
                )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append one group per layer and kind of weight decay.

        Args:
            params: Groups for the optimizer; extended in place.
            module: The whole model.
            **kwargs: Of the parent class; unused.
        """
        layers = _Layers(module)
        groups: dict[str, dict] = {}
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            layer = layers.of(name)
            plain = param.ndim <= 1 or name.endswith('.bias')
            key = f'layer_{layer}_{"no_decay" if plain else "decay"}'
            if key not in groups:
                scale = self.paramwise_cfg['decay_rate'] ** (layers.last - layer)
                groups[key] = dict(
                    params=[],
                    group_name=key,
                    lr_scale=scale,
                    lr=self.base_lr * scale,
                    weight_decay=0.0 if plain else self.base_wd,
                )
            groups[key]['params'].append(param)
        params.extend(groups.values())
        smallest = min(group['lr_scale'] for group in groups.values())
        print_log(
            f'layer decay: {len(groups)} parameter groups, learning rate from '
            f'{smallest:.3g} to 1 times {self.base_lr}',
            logger='current',
        )


class _Layers:
    """Depth of each parameter of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.backbone = getattr(model, 'backbone', None)
        if not hasattr(self.backbone, 'layer_of'):
            raise ValueError(
                f'layer decay needs a model whose backbone tells its layers; '
                f'{type(self.backbone or model).__name__} has no layer_of(name). '
                'Use VideoMAEViT, or remove optim_wrapper.constructor.'
            )
        self.last = self.backbone.num_layers + 1

    def of(self, name: str) -> int:
        prefix, _, inner = name.partition('.')
        return self.backbone.layer_of(inner) if prefix == 'backbone' else self.last


_SHIFT = ('fc_lr5', 'legacy_fc_lr5', 'gates_lr')
_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
_CLASSIFIERS = ('cls_head.fc_cls.', 'cls_head.fc_body.')
_LEGACY = ('cls_head.fc_emb_t.',)


@dataclass(frozen=True)
class Kind:
    """Parameters that are treated alike.

    Attributes:
        name: Of the group.
        lr: Multiple of the learning rate.
        decay: Multiple of the weight decay.
    """

    name: str
    lr: float
    decay: float


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ShiftOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """TSM's parameter groups.

    Weights learn at the rate given, biases at twice the rate without decay, norms at
    the rate without decay. Parameters of none of these modules count as weights from
    two dimensions on, else as norms. Frozen parameters are left out.

    ``optim_wrapper.paramwise_cfg`` may hold

    - ``fc_lr5``: the classifiers (``cls_head.fc_cls``, ``cls_head.fc_body``), by name,
      learn at 5 times the rate, their biases at 10 times.
    - ``legacy_fc_lr5``: MANet's ``fc_emb_t`` does so instead. Upstream takes the last
      linear layer for the classifier, and so trained MANet in this way.
    - ``gates_lr``: multiple of the rate for all of ``GroupContext``; 5 in its recipe.

    Raises:
        ValueError: An unknown option, both kinds of ``fc_lr5``, a ``gates_lr`` that is
            not above 0, ``lr`` or ``weight_decay`` missing, or an option that nothing
            in the model answers to.

    Source: mmaction2, tsm_optim_wrapper_constructor.py, 4d6c9347;
    haoyanbin918/Group-Contextualization, b99be50a (``ef_lr5``).
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        # MMEngine makes no groups where the options are empty.
        options = {'fc_lr5': False, **(paramwise_cfg or {})}
        super().__init__(optim_wrapper_cfg, options)

    def _validate_cfg(self) -> None:
        cfg = self.paramwise_cfg
        for name in cfg:
            if name not in _SHIFT:
                raise ValueError(
                    f'unknown option {name!r} in optim_wrapper.paramwise_cfg: shift '
                    f'networks have {", ".join(_SHIFT)}.{suggest(name, _SHIFT)}'
                )
        if cfg.get('fc_lr5') and cfg.get('legacy_fc_lr5'):
            raise ValueError(
                'optim_wrapper.paramwise_cfg has both fc_lr5 and legacy_fc_lr5: the '
                'fast layer is fc_cls or fc_emb_t; choose one.'
            )
        if not cfg.get('gates_lr', 1) > 0:
            raise ValueError(
                f'optim_wrapper.paramwise_cfg.gates_lr is {cfg["gates_lr"]}: use a '
                'number above 0, such as 5.'
            )
        for name, value in (('lr', self.base_lr), ('weight_decay', self.base_wd)):
            if value is None:
                raise ValueError(
                    f'optim_wrapper.optimizer lacks {name}: each group gets its own, '
                    f'so write {name}=... (0 is allowed).'
                )

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        """Append one group per kind of parameter.

        Args:
            params: Groups for the optimizer; extended in place.
            module: The whole model.
            **kwargs: Of the parent class; unused.
        """
        fast = self._fast_layers(module)
        gates = self._gates(module)
        owners = dict(module.named_modules())
        groups: dict[Kind, list] = {}
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            owner = owners[name.rpartition('.')[0]]
            if name.startswith(gates):
                kind = self._gate_kind(owner)
            else:
                kind = _kind_of(name, owner, param.ndim, name.startswith(fast))
            groups.setdefault(kind, []).append(param)
        params.extend(
            dict(
                params=members,
                group_name=kind.name,
                lr=self.base_lr * kind.lr,
                weight_decay=self.base_wd * kind.decay,
            )
            for kind, members in groups.items()
        )
        sizes = {kind.name: len(members) for kind, members in groups.items()}
        print_log(f'parameter groups: {sizes}', logger='current')

    def _fast_layers(self, model: nn.Module) -> tuple[str, ...]:
        """How names of the classifier start, if it is to learn faster."""
        names = [name for name, _ in model.named_parameters()]
        for option, layers in (('fc_lr5', _CLASSIFIERS), ('legacy_fc_lr5', _LEGACY)):
            if not self.paramwise_cfg.get(option):
                continue
            if not any(name.startswith(layers[0]) for name in names):
                raise ValueError(
                    f'optim_wrapper.paramwise_cfg.{option}: the model has no layer '
                    f'{layers[0][:-1]}. Use ActionHead (or MANetHead), or leave the '
                    'option out.'
                )
            return layers
        return ()

    def _gates(self, model: nn.Module) -> tuple[str, ...]:
        """How names of gates start, if they are to learn faster."""
        if 'gates_lr' not in self.paramwise_cfg:
            return ()
        found = tuple(
            f'{name}.'
            for name, part in model.named_modules()
            if isinstance(part, GroupContext)
        )
        if not found:
            raise ValueError(
                'optim_wrapper.paramwise_cfg.gates_lr: the model has no GroupContext. '
                'Set context in the backbone, or leave the option out.'
            )
        return found

    def _gate_kind(self, owner: nn.Module) -> Kind:
        rate = self.paramwise_cfg['gates_lr']
        if isinstance(owner, _NORMS):
            return Kind('gate norms', rate, 0)
        return Kind('gate weights', rate, 1)


def _kind_of(name: str, owner: nn.Module, ndim: int, fast: bool) -> Kind:
    if isinstance(owner, _NORMS):
        return Kind('norms', 1, 0)
    if name.endswith('bias'):
        return Kind('classifier biases', 10, 0) if fast else Kind('biases', 2, 0)
    if ndim < 2:
        return Kind('norms', 1, 0)
    return Kind('classifier weights', 5, 1) if fast else Kind('weights', 1, 1)
