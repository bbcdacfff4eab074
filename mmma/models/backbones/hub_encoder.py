"""Video encoders of the transformers library as backbones for clips.

V-JEPA 2 first; any other encoder that AutoModel builds from a config fits, if it is
one stack of blocks over tokens of a clip. ``pip install 'mmma[hub]'`` brings it along.

Source: Assran et al., 'V-JEPA 2: Self-Supervised Video Models Enable Understanding,
Prediction and Planning', 2025, arXiv 2506.09985.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from mmengine.utils import to_2tuple
from torch import Tensor, nn

from mmma.checkpoints.loading import rename
from mmma.models.adapters import adapt_blocks
from mmma.registry import MODELS
from mmma.taxonomy import check_choice, suggest

# Where the encoder lies in what AutoModel builds: V-JEPA 2 has a predictor beside it.
_CORES = {'vjepa2': 'encoder.'}
# Axes along which the tokens of a clip run, slowest first; told for known models alone.
_TOKEN_ORDERS = dict(vjepa2='thw', videomae='thw', vivit='thw', timesformer='hwt')
# Published files predate the names that transformers 5 gives to the same weights.
_ALIASES = (('.q_bias', '.query.bias'), ('.v_bias', '.value.bias'))
_ADAPTED = ('vjepa2', 'videomae')  # by time first, without a class token
_LEFT_OUT = ('predictor.', 'pooler.', 'classifier.')


@MODELS.register_module()
class HubVideoEncoder(BaseModule):
    """A video encoder of the transformers library: one feature per clip, or a map.

    It is built from its config and never needs the network. Weights come as for every
    backbone, with the names they are published under; what lies beside the encoder
    there, as a predictor or a classifier, is left out. Where transformers has renamed
    weights since (ViViT), write them anew:
    ``torch.save(AutoModel.from_pretrained(folder).state_dict(), 'weights.pth')``.

    Frozen parts stay in evaluation mode, and are told by :meth:`frozen_names`.
    Attention runs through PyTorch's fused kernels where the model has them
    (TimeSformer does not).

    Args:
        config: The fields of its transformers config, ``model_type`` among them, or a
            local folder or file with its ``config.json``.
        output: ``mean`` of the clip's tokens, class tokens left out, or ``map``.
        freeze: ``all``, ``none``, or the number of first blocks to freeze, the
            embedding always with them.
        with_cp: Recompute each trained block in the backward pass to save memory.
        chunk: Frames that the encoder sees at once, if it is given windows of several
            chunks; their maps are joined in time. None for all frames.
        lora, tia: Options of LoRA, as of ``adapt_blocks``, None for none; adapters over
            time behind every block. They learn whatever ``freeze`` says.

    Raises:
        ValueError: An unknown output or number of blocks, or a model that is no stack
            of blocks over the tokens of a video, or options of adapters that do not
            fit it; also as :func:`read_config`.
    """

    token_options: ClassVar = {'output': 'map'}  # give tokens, not their mean

    def __init__(
        self,
        config: Mapping[str, Any] | str,
        output: str = 'mean',
        freeze: str | int = 'all',
        with_cp: bool = False,
        chunk: int | None = None,
        lora: Mapping[str, Any] | None = None,
        tia: bool = False,
    ) -> None:
        super().__init__()
        self.chunk = chunk
        self.output = check_choice('output', output, ('mean', 'map'))
        self.config = read_config(config)
        kind = self.config.model_type
        if output == 'map' and kind not in _TOKEN_ORDERS:
            raise ValueError(
                f"output 'map': the order of {kind}'s tokens is unknown (known: "
                f"{', '.join(_TOKEN_ORDERS)}). Use output='mean'."
            )
        from transformers import AutoModel

        model = AutoModel.from_config(self.config, dtype=torch.float32)
        if with_cp:
            old = 'gradient_checkpointing_enable'  # the name before transformers 5.21
            enable = getattr(model, 'activation_checkpointing_enable', None)
            (enable or getattr(model, old))(dict(use_reentrant=False))
        self._input = model.main_input_name
        self._base = f'{model.base_model_prefix}.'
        self._core = _CORES.get(kind, '')
        if getattr(model, 'pooler', None) is not None:
            model.pooler = None  # of the class token, unused here
        self.model = model.get_submodule(self._core.rstrip('.'))
        self._blocks = self._find_blocks()
        self._freeze(freeze)
        self._adapt(lora, tia)
        self.train(self.training)

    def _find_blocks(self) -> str:
        """Name of the list of blocks."""
        depth = getattr(self.config, 'num_hidden_layers', None)
        for name, module in self.named_modules():
            if isinstance(module, nn.ModuleList) and len(module) == depth:
                return name
        raise ValueError(
            f'{self.config.model_type}: no list of {depth} blocks in it. Only encoders '
            'that are one stack of num_hidden_layers blocks can be used.'
        )

    def _freeze(self, freeze: str | int) -> None:
        depth = self.num_layers
        last = {'all': depth + 1, 'none': -1}.get(freeze)
        if type(freeze) is int and 0 <= freeze <= depth:
            last = freeze
        if last is None:
            raise ValueError(
                f"freeze={freeze!r}: use 'all', 'none' or a number of blocks from 0 to "
                f'{depth}.'
            )
        self.freeze = freeze
        for name, parameter in self.named_parameters():
            if self.layer_of(name) <= last:
                parameter.requires_grad_(False)

    def _adapt(self, lora: Mapping[str, Any] | None, tia: bool) -> None:
        kind, blocks = self.config.model_type, self.get_submodule(self._blocks)
        if tia and kind not in _ADAPTED:
            raise ValueError(
                f'tia: adapters over time need the tokens of a clip by time and no '
                f'class token, as {" and ".join(_ADAPTED)} have them; {kind} has not. '
                'Use lora.'
            )
        adapt_blocks(blocks, self.config.hidden_size, lora, tia)
        for block in blocks if tia else ():
            block.register_forward_hook(_behind)
        learn = {n for n, p in self.named_parameters() if p.requires_grad}
        self._kept = [n for n in self.state_dict() if n not in learn]
        self._frozen = [
            name
            for name, module in self.model.named_modules()
            if {p.requires_grad for p in module.parameters()} == {False}
        ]

    def frozen_names(self) -> list[str]:
        """Names in the state dict that training does not change."""
        return self._kept

    @property
    def num_layers(self) -> int:
        """Number of blocks; :meth:`layer_of` gives 0 to ``num_layers + 1``."""
        return self.config.num_hidden_layers

    def layer_of(self, name: str) -> int:
        """Depth of a parameter, as ``VideoMAEViT.layer_of``."""
        if name.startswith(f'{self._blocks}.'):
            return int(name.removeprefix(f'{self._blocks}.').split('.')[0]) + 1
        return 0 if 'embeddings.' in name else self.num_layers + 1

    def train(self, mode: bool = True) -> 'HubVideoEncoder':
        """Switch the mode of what is trained."""
        super().train(mode)
        for name in self._frozen:
            self.model.get_submodule(name).eval()
        return self

    def init_weights(self) -> None:
        """Leave the weights that transformers drew when it built the model."""

    def forward(self, imgs: Tensor) -> Tensor:
        """Features (N, D) or maps (N, D, t, h, w) of normalised clips (N, 3, T, H, W).

        Raises:
            ValueError: T, H or W is not what the model takes.
        """
        windows, frames = len(imgs), imgs.shape[2]
        if self.chunk and (frames % self.chunk or not frames):
            raise ValueError(
                f'windows of {frames} frames: this encoder takes multiples of its '
                f'chunk, {self.chunk}. Let the window of the data set have so many '
                'positions.'
            )
        # (N, 3, C*T', H, W) -> (N*C, 3, T', H, W)
        chunks = imgs.unflatten(2, (-1, self.chunk or frames))
        found = self._encode(chunks.transpose(1, 2).flatten(0, 1), windows)
        found = found.unflatten(0, (windows, -1))  # (N, C, D) or (N, C, D, t, h, w)
        if self.output == 'mean':
            return found.mean(dim=1)
        return found.transpose(1, 2).flatten(2, 3)  # (N, D, C*t, h, w)

    def _encode(self, imgs: Tensor, windows: int) -> Tensor:
        """What ``forward`` gives, of all chunks (N*C, 3, T', H, W) of the windows."""
        grid = self._grid_of(imgs)
        for block in self.get_submodule(self._blocks):
            if hasattr(block, 'adapter'):
                block.adapter.sizes = windows, grid['t']
        learns = any(p.requires_grad for p in self.parameters())
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            clips = imgs.transpose(1, 2)  # (N*C, T', 3, H, W)
            tokens = self.model(**{self._input: clips}).last_hidden_state
            extra = tokens.shape[1] - math.prod(grid.values())
            if extra not in (0, 1):
                raise ValueError(
                    f'{self.config.model_type} gives {tokens.shape[1]} tokens where '
                    f'its config tells {tokens.shape[1] - extra}: its output is not '
                    'understood.'
                )
            tokens = tokens[:, extra:]  # without a class token
            if self.output == 'mean':
                return tokens.mean(dim=1)
            order = _TOKEN_ORDERS[self.config.model_type]
            maps = tokens.transpose(1, 2).unflatten(2, [grid[axis] for axis in order])
            # (N, D, *order) -> (N, D, t, h, w)
            return maps.permute(0, 1, *(2 + order.index(axis) for axis in 'thw'))

    def _grid_of(self, imgs: Tensor) -> dict[str, int]:
        """Tokens along each axis; a clip that the model would misread is refused."""
        sizes = dict(zip('thw', imgs.shape[2:], strict=True))
        config = self.config
        side = (*to_2tuple(getattr(config, 'crop_size', None) or config.image_size),)
        if (sizes['h'], sizes['w']) != side:
            raise ValueError(
                f'frames of {sizes["h"]}x{sizes["w"]} pixels: this encoder takes '
                f'{side[0]}x{side[1]}. Resize and crop them to it.'
            )
        tubelet = getattr(config, 'tubelet_size', 1)  # a number, or three
        if isinstance(tubelet, int):
            tubelet = (tubelet, *to_2tuple(config.patch_size))
        token = dict(zip('thw', tubelet, strict=True))
        frames = getattr(config, 'num_frames', None)  # V-JEPA 2 takes any number
        if sizes['t'] % token['t'] or (frames and sizes['t'] != frames):
            takes = frames or f'a multiple of {token["t"]}'
            raise ValueError(
                f'clips of {sizes["t"]} frames: this encoder takes {takes}. '
                'Sample so many, or build it for this number.'
            )
        return {axis: sizes[axis] // token[axis] for axis in 'thw'}

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        """Take published names, and leave out what is beside the encoder."""
        own, names = set(self.state_dict()), {}
        ours = any(f'{prefix}{name}' in state_dict for name in own)
        for name in [] if ours else list(state_dict):
            short = name.removeprefix(prefix).removeprefix(self._base)
            target = f'model.{short.removeprefix(self._core)}'
            for old, new in _ALIASES:
                if target not in own and target.endswith(old):
                    target = target.removesuffix(old) + new
            if short.startswith(self._core) and target in own:
                names[name] = f'{prefix}{target}'
            elif short.startswith(_LEFT_OUT):
                names[name] = ''
        rename(state_dict, names, args[3])
        super()._load_from_state_dict(state_dict, prefix, *args)


def _behind(block: nn.Module, _: Any, output: Any) -> Any:
    """What a block gives, behind its adapter: a forward hook."""
    tokens, *rest = output if isinstance(output, tuple) else (output,)
    tokens = block.adapter(tokens, *block.adapter.sizes)
    return (tokens, *rest) if isinstance(output, tuple) else tokens


def read_config(config: Mapping[str, Any] | str) -> Any:
    """A transformers config, from its fields or a local file.

    Raises:
        ImportError: transformers is not installed.
        FileNotFoundError: There is no such folder or file.
        ValueError: ``model_type`` or a field is unknown, or the model is not of video.
    """
    try:
        from transformers import CONFIG_MAPPING, AutoConfig
    except ImportError as error:
        raise ImportError(
            f"HubVideoEncoder needs transformers ({error}): pip install 'mmma[hub]'."
        ) from None
    if isinstance(config, (str, Path)):
        path = Path(config).expanduser()
        if not (path / 'config.json').is_file() and not path.is_file():
            raise FileNotFoundError(
                f'config {str(config)!r}: no such file, and no folder with a '
                'config.json. Nothing is downloaded for it; give a local one.'
            )
        local = dict(local_files_only=True, trust_remote_code=False)
        found = AutoConfig.from_pretrained(path, **local)
    else:
        fields = dict(config)
        kind = fields.pop('model_type', None)
        if kind not in CONFIG_MAPPING:
            raise ValueError(
                f'model_type {kind!r} in config: transformers has no such model.'
                f'{suggest(str(kind), list(CONFIG_MAPPING))} Known to fit: '
                f'{", ".join(_TOKEN_ORDERS)}.'
            )
        known = list(AutoConfig.for_model(kind).to_dict())
        for name in fields:
            if name not in known:
                raise ValueError(
                    f'unknown field {name!r} in the config of {kind}.'
                    f'{suggest(name, known)}'
                )
        found = AutoConfig.for_model(kind, **fields)
    if not hasattr(found, 'num_frames') and not hasattr(found, 'frames_per_clip'):
        raise ValueError(
            f'{found.model_type} is no encoder of video: its config tells no number '
            f'of frames. Known to fit: {", ".join(_TOKEN_ORDERS)}.'
        )
    return found
