"""Print a config with every base, protocol and option resolved."""

import argparse
import os

from mmma.cli.arguments import protocol_flags

ARGUMENTS = """
*config
--origin: one line per key, with the file (or the protocol or option) that sets it"""


def run(args: argparse.Namespace) -> int:
    """Print the config, or each dotted key with its value and what set it."""
    from mmma import config

    given = dict(data_root=args.data_root, cfg_options=args.cfg_options)
    cfg = config.load_config(args.config, protocol_flags(args), **given)
    if not args.origin:
        print(cfg.pretty_text)
        return 0
    path = config.find_config(args.config)
    known = config.origins(path.resolve()) if path.suffix == '.py' else {}
    written = dict(config.flatten(config.read_config(path)))
    for key, value in config.flatten(cfg):
        changed = key not in written or written[key] != value
        file = config.origin_of(key, known)
        named = os.path.relpath(file) if file and not changed else 'protocol or option'
        print(f'{key} = {value!r}  # {named}')
    return 0
