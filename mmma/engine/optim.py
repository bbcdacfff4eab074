"""Optimizer constructor with layer-wise learning rate decay."""

from __future__ import annotations

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmma.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmma.taxonomy import suggest


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
            if name != 'decay_rate':
                raise ValueError(
                    f'unknown option {name!r} in optim_wrapper.paramwise_cfg: layer '
                    f'decay has decay_rate.{suggest(name, ["decay_rate"])}'
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
        backbone = getattr(module, 'backbone', None)
        if not hasattr(backbone, 'layer_of'):
            raise ValueError(
                f'layer decay needs a model whose backbone tells its layers; '
                f'{type(backbone or module).__name__} has no layer_of(name). '
                'Use VideoMAEViT, or remove optim_wrapper.constructor.'
            )
        last = backbone.num_layers + 1
        groups: dict[str, dict] = {}
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            prefix, _, inner = name.partition('.')
            layer = backbone.layer_of(inner) if prefix == 'backbone' else last
            plain = param.ndim <= 1 or name.endswith('.bias')
            key = f'layer_{layer}_{"no_decay" if plain else "decay"}'
            if key not in groups:
                scale = self.paramwise_cfg['decay_rate'] ** (last - layer)
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


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(
    name=['ShiftOptimWrapperConstructor', 'AdapterOptimWrapperConstructor']
)
class RemovedConstructor(DefaultOptimWrapperConstructor):
    """Stands for the constructors of dumped configs that are older than their recipes.

    Raises:
        ValueError: Always. MMEngine's own does their work, and has other options.
    """

    def __init__(self, *_: object, **__: object) -> None:
        raise ValueError(
            'optim_wrapper.constructor of this config is gone, so that it can be '
            'tested but trains nothing: an older version dumped it. Use the config '
            'that comes with mmma, or copy its optim_wrapper (MMEngine makes the same '
            'groups from bias_lr_mult, norm_decay_mult and custom_keys).'
        )
