"""``print_config.py CONFIG``: the config as a run would see it; needs no data."""

from __future__ import annotations

import argparse
import os

from mmma.cli.arguments import add_config_arguments, protocol_flags

HELP = 'Print a config with every base, protocol and option resolved.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        '--origin',
        action='store_true',
        help='one line per key, with the file (or the protocol or option) that sets it',
    )


def run(args: argparse.Namespace) -> int:
    """Print the config to standard output."""
    from mmma.config import load_config

    cfg = load_config(
        args.config,
        protocol_flags(args),
        data_root=args.data_root,
        cfg_options=args.cfg_options,
    )
    if not args.origin:
        print(cfg.pretty_text)
        return 0
    for key, value, origin in with_origin(args.config, cfg):
        print(f'{key} = {value!r}  # {origin}')
    return 0


def with_origin(config: str, cfg):
    """Each dotted key of a resolved config, its value, and what set it.

    Args:
        config: The config as named by the user.
        cfg: The same, resolved.

    Yields:
        Key, value, and a file relative to this folder, or ``protocol or option`` for
        what the command line or the protocol writer changed.
    """
    from mmengine.config import Config

    from mmma.config import find_config, flatten, origin_of, origins

    path = find_config(config)
    known = origins(path.resolve())
    written = dict(flatten(Config.fromfile(path)))
    for key, value in flatten(cfg):
        changed = key not in written or written[key] != value
        file = origin_of(key, known)
        named = os.path.relpath(file) if file and not changed else 'protocol or option'
        yield key, value, named
