"""Rename the weights of a published file into those of this toolbox.

  opentad-adatad          AdaTAD of OpenTAD, for configs/det/adatad_*
  opentad                 ActionFormer or TriDet on features, of OpenTAD
  videomae                VideoMAE of its authors or of the transformers library
  group-contextualization GC-TSM, or TSM, of their authors
  manet                   MANet of VUT-HFUT/Micro-Action
  pyskl, mmaction2        ST-GCN++, PoseC3D, TSM and VideoMAE of these toolboxes
  lora                    a checkpoint of ours with LoRA: its changes are added to the
                          layers, so that it loads into the recipe without LoRA

Averaged weights are taken where a file has both. No code of the file is run. Most of
these also load as they are, by --load-from; this shows what fits, and writes less."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmma.cli.arguments import CKPT_HELP
from mmma.files import draft

SUFFIXES = ('.pth', '.safetensors')

ARGUMENTS = f"""
source SRC: published file: {CKPT_HELP}
out OUT (out): file to write, .pth or .safetensors
--from/format FORMAT, required: what SRC is; see above
--config CONFIG: say which weights of this model it fills
--trust-checkpoint: read SRC even if it is a pickle that can run code
--force: replace OUT"""


def run(args: argparse.Namespace) -> int:
    """Convert, and print what was taken, left out and matched."""
    from mmengine.registry import DefaultScope

    from mmma.checkpoints import load_state, load_weights_file, weights_of
    from mmma.config import load_config
    from mmma.hub.zoo import checkpoint_path
    from mmma.registry import MODELS
    from mmma.taxonomy import check_choice

    check_choice('format', args.format, (*FORMATS, 'lora'))
    if args.out.suffix not in SUFFIXES:
        raise ValueError(f'{args.out}: write to a file named {" or ".join(SUFFIXES)}.')
    if args.out.exists() and not args.force:
        raise ValueError(f'{args.out} exists: choose another name, or --force.')
    if not args.out.parent.is_dir():
        raise FileNotFoundError(f'{args.out.parent}: no such folder to write to.')
    source = checkpoint_path(args.source)
    content = load_weights_file(source, args.trust_checkpoint)
    weights = weights_of(content, str(source))
    merging = args.format == 'lora'
    convert = partial(_merged, content, source) if merging else FORMATS[args.format]
    converted = convert(weights)
    _save(converted, args.out, args.format, source)
    print(f'{source}: {len(weights)} weights of {args.format}')
    print(f'wrote {args.out}: {len(converted)} weights')
    if args.format.startswith('opentad'):
        print(
            'full windows score as in OpenTAD; padded ones otherwise: here padding '
            'reaches neither convolutions, nor layer norms, nor max-pools'
        )
    if args.config:
        with DefaultScope.overwrite_default_scope('mmma'):
            model = MODELS.build(load_config(args.config).model)
        matched = load_state(model, converted, args.config, min_matched=0)
        print(f'{args.config}: {matched}')
    return 0


def _merged(
    content: Mapping[str, Any], source: Path, weights: Mapping[str, Any]
) -> dict[str, Any]:
    """Weights of a checkpoint of ours, the changes of LoRA added to them."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from mmma.checkpoints import meta_of, weights_of
    from mmma.config import parse_config
    from mmma.engine.weights import Weights, with_frozen
    from mmma.models.adapters import merge_lora
    from mmma.registry import MODELS, as_data

    if not any('.lora_A.' in name for name in weights):
        raise ValueError(f'{source} has no weights of LoRA (lora_A, lora_B) to merge.')
    told = meta_of(content).get('cfg')
    if not told:
        raise ValueError(f'{source} has no config in it: give what train.py wrote.')
    cfg = Config(parse_config(told, str(source)))
    with DefaultScope.overwrite_default_scope('mmma'):
        model = MODELS.build(as_data(cfg.model, str(source)))
    whole = with_frozen(model, Weights(source, content, ''), cfg)
    model.load_state_dict(weights_of(whole.content, str(source)))
    merge_lora(model)
    return model.state_dict()


def _from_opentad(weights: Mapping[str, Any], adapters: bool) -> dict[str, Any]:
    from mmma.models.detector import from_opentad

    return from_opentad(weights, adapters=adapters)


def _from_videomae(weights: Mapping[str, Any]) -> dict[str, Any]:
    from mmma.models.backbones.videomae import from_hub, from_original

    hub = from_hub(weights)
    if not hub:
        return from_original(weights)
    return {f'backbone.{name}': value for name, value in hub.items()}


def _from_shift(weights: Mapping[str, Any]) -> dict[str, Any]:
    from mmma.models.backbones.shift_resnet import adapted_names

    renamed = adapted_names(weights, 'backbone.')
    names = {name: renamed.get(name, name) for name in weights}
    kept = {new: weights[old] for old, new in names.items() if new}
    return _checked(kept, 'ResNet with shifts', 'backbone.layer1.')


def _from_openmmlab(weights: Mapping[str, Any]) -> dict[str, Any]:
    return _checked(weights, 'recognizer of OpenMMLab', 'backbone.')


FORMATS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    'opentad-adatad': partial(_from_opentad, adapters=True),
    'opentad': partial(_from_opentad, adapters=False),
    'videomae': _from_videomae,
    'group-contextualization': _from_shift,
    'manet': _from_shift,
    'pyskl': _from_openmmlab,
    'mmaction2': _from_openmmlab,
}
"""Published weights by name to ours."""


def _checked(weights: Mapping[str, Any], kind: str, mark: str) -> dict[str, Any]:
    """The weights of backbone and head, with the classifier's name."""
    odd = [n for n in weights if not n.startswith(('backbone.', 'cls_head.'))]
    if odd or not any(name.startswith(mark) for name in weights):
        what = f'{len(odd)} unknown names, first {", ".join(odd[:5])}'
        raise ValueError(f'not a {kind}: {what if odd else f"nothing named {mark}..."}')
    return {
        name.replace('cls_head.fc.', 'cls_head.fc_cls.'): value
        for name, value in weights.items()
    }


def _save(weights: Mapping[str, Any], out: Path, kind: str, source: Path) -> None:
    from mmma.checkpoints import file_sha256

    told = {'converted_from': kind, 'source': f'{source.name} {file_sha256(source)}'}
    if out.suffix == '.pth':
        import torch

        with draft(out) as part:
            torch.save({'state_dict': dict(weights), 'meta': told}, part)
        return
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ValueError(f'{out}: pip install safetensors, or write .pth.') from None
    plain = {k: v.contiguous().clone() for k, v in weights.items()}
    with draft(out) as part:
        save_file(plain, part, told)
