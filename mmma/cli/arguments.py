"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import Any

from mmma.protocols import PROTOCOLS, TARGETS
from mmma.taxonomy import DOMAINS

_FLAGS = ('protocol', 'domain', 'target', 'shots', 'runs', 'strict_shots', 'seed')


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG, the protocol flags, ``--data-root`` and ``--cfg-options``."""
    parser.add_argument(
        'config', help='config file, as configs/recog/videomae_mma82_indomain.py'
    )
    group = parser.add_argument_group('protocol (what is not given: the config says)')
    group.add_argument('--protocol', metavar='|'.join(PROTOCOLS))
    group.add_argument(
        '--domain', metavar='all|' + '|'.join(DOMAINS), help='indomain: train and test'
    )
    group.add_argument(
        '--target',
        nargs='+',
        metavar='D',
        help=f'zeroshot, fewshot: domains to test on (default: {" ".join(TARGETS)})',
    )
    group.add_argument(
        '--shots', nargs='+', type=int, metavar='K', help='fewshot: supports per class'
    )
    group.add_argument('--seed', type=int, metavar='S')
    parser.add_argument('--data-root', metavar='DIR', help='default: data/mma82')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='K=V',
        help='change config values; +K=V adds a key',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """``--work-dir`` and ``--launcher``."""
    parser.add_argument(
        '--work-dir', metavar='DIR', help='default: work_dirs/<model>_<data>/<protocol>'
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm'),
        default='none',
        help='how several processes were started',
    )


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """``--views`` and ``--crops``."""
    parser.add_argument(
        '--views',
        type=int,
        metavar='V',
        help='sets of times per clip, whose scores are averaged; memory grows with '
        'them: --cfg-options test_dataloader.batch_size=1',
    )
    parser.add_argument(
        '--crops',
        type=int,
        choices=(1, 3),
        help='of RGB: the middle of the picture, or three crops that cover it',
    )


def protocol_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The protocol flags that the user gave; None where not given."""
    return {flag: getattr(args, flag, None) for flag in _FLAGS}


def read_config(args: argparse.Namespace) -> Any:
    """The config that the shared arguments describe."""
    from mmma.config import load_config

    return load_config(
        args.config,
        protocol_flags(args),
        data_root=args.data_root,
        cfg_options=args.cfg_options,
    )
