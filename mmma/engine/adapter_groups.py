"""Learning rates of a detector whose backbone learns by adapters."""

from __future__ import annotations

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmma.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mmma.taxonomy import suggest

_OPTIONS = ('adapters_lr',)


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
            if name not in _OPTIONS:
                raise ValueError(
                    f'unknown option {name!r} in optim_wrapper.paramwise_cfg: adapters '
                    f'have {", ".join(_OPTIONS)}.{suggest(name, _OPTIONS)}'
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
