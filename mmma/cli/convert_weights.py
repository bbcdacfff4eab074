"""``convert_weights.py SRC OUT --from FORMAT``: published weights under our names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmma.cli.arguments import CKPT_HELP

HELP = """Rename the weights of a published file into those of this toolbox.

  opentad-adatad          AdaTAD of OpenTAD, for configs/det/adatad_*
  opentad                 ActionFormer or TriDet on features, of OpenTAD
  videomae                VideoMAE of its authors or of the transformers library
  group-contextualization GC-TSM, or TSM, of their authors
  manet                   MANet of VUT-HFUT/Micro-Action
  pyskl, mmaction2        ST-GCN++, PoseC3D, TSM and VideoMAE of these toolboxes

Averaged weights are taken where a file has both. No code of the file is run. Most of
these also load as they are, by --load-from; this shows what fits, and writes less."""

SUFFIXES = ('.pth', '.safetensors')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('source', metavar='SRC', help=f'published file: {CKPT_HELP}')
    parser.add_argument(
        'out', metavar='OUT', type=Path, help='file to write, .pth or .safetensors'
    )
    parser.add_argument(
        '--from', dest='format', required=True, help='what SRC is; see above'
    )
    parser.add_argument(
        '--config', metavar='CONFIG', help='say which weights of this model it fills'
    )
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='read SRC even if it is a pickle that can run code',
    )
    parser.add_argument('--force', action='store_true', help='replace OUT')


def run(args: argparse.Namespace) -> int:
    """Convert, and print what was taken, left out and matched.

    Raises:
        ValueError: An unknown format, a file of another one, or OUT exists or is of
            another type.
        FileNotFoundError: No SRC, or no folder for OUT.
    """
    from mmma.checkpoints import load_weights_file, weights_of
    from mmma.hub.zoo import checkpoint_path
    from mmma.taxonomy import check_choice

    check_choice('format', args.format, tuple(FORMATS))
    _check_out(args.out, args.force)
    source = checkpoint_path(args.source)
    checkpoint = load_weights_file(source, args.trust_checkpoint)
    converted = FORMATS[args.format](checkpoint)
    count = len(weights_of(checkpoint))
    _save(converted, args.out, args.format, source)
    print(f'{source}: {count} weights of {args.format}')
    print(f'wrote {args.out}: {len(converted)} weights')
    if args.config:
        print(f'{args.config}: {_matches(converted, args.config)}')
    return 0


def from_opentad_adatad(checkpoint: Any) -> dict[str, Any]:
    """Weights of a ``SegmentDetector`` with ``VideoMAETIA``."""
    from mmma.checkpoints import weights_of
    from mmma.models.detector import from_opentad

    return from_opentad(weights_of(checkpoint))


def from_opentad_features(checkpoint: Any) -> dict[str, Any]:
    """Weights of a ``SegmentDetector`` without backbone."""
    from mmma.checkpoints import weights_of
    from mmma.models.detector import from_opentad

    return from_opentad(weights_of(checkpoint), adapters=False)


def from_videomae(checkpoint: Any) -> dict[str, Any]:
    """Weights of a recognizer with ``VideoMAEViT``."""
    from mmma.checkpoints import weights_of
    from mmma.models.backbones.videomae import from_hub, from_original

    weights = weights_of(checkpoint)
    hub = from_hub(weights)
    if not hub:
        return from_original(weights)
    return {f'backbone.{name}': value for name, value in hub.items()}


def from_shift(checkpoint: Any) -> dict[str, Any]:
    """Weights of a recognizer with ``ShiftResNet``.

    Raises:
        ValueError: Other names than those of a ResNet with shifts.
    """
    from mmma.checkpoints import weights_of
    from mmma.models.backbones.shift_resnet import adapted_names

    weights = weights_of(checkpoint)
    renamed = adapted_names(weights, 'backbone.')
    names = {name: renamed.get(name, name) for name in weights}
    kept = {new: weights[old] for old, new in names.items() if new is not None}
    return _checked(kept, 'ResNet with shifts', 'backbone.layer1.')


def from_openmmlab(checkpoint: Any) -> dict[str, Any]:
    """Weights of a recognizer whose backbone is upstream's, or derived from it.

    Raises:
        ValueError: Other names than those of a recognizer.
    """
    from mmma.checkpoints import weights_of

    return _checked(weights_of(checkpoint), 'recognizer of OpenMMLab', 'backbone.')


FORMATS: dict[str, Callable[[Any], dict[str, Any]]] = {
    'opentad-adatad': from_opentad_adatad,
    'opentad': from_opentad_features,
    'videomae': from_videomae,
    'group-contextualization': from_shift,
    'manet': from_shift,
    'pyskl': from_openmmlab,
    'mmaction2': from_openmmlab,
}


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


def _check_out(out: Path, force: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise ValueError(f'{out}: write to a file named {" or ".join(SUFFIXES)}.')
    if out.exists() and not force:
        raise ValueError(f'{out} exists: choose another name, or --force.')
    if not out.parent.is_dir():
        raise FileNotFoundError(f'{out.parent}: no such folder to write to.')


def _save(weights: Mapping[str, Any], out: Path, kind: str, source: Path) -> None:
    from mmma.checkpoints import file_sha256

    told = {'converted_from': kind, 'source': f'{source.name} {file_sha256(source)}'}
    if out.suffix == '.pth':
        import torch

        torch.save({'state_dict': dict(weights), 'meta': told}, out)
        return
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise ValueError(f'{out}: pip install safetensors, or write .pth.') from None
    save_file({k: v.contiguous().clone() for k, v in weights.items()}, out, told)


def _matches(weights: Mapping[str, Any], config: str) -> str:
    """Which weights of a config's model are filled."""
    from mmengine.registry import DefaultScope

    from mmma.checkpoints import load_state
    from mmma.config import load_config
    from mmma.registry import MODELS

    with DefaultScope.overwrite_default_scope('mmma'):
        model = MODELS.build(load_config(config).model)
    return str(load_state(model, weights, config, min_matched=0))
