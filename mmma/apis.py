"""What tools and notebooks call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mmma.config import apply_options, find_config, get_key
from mmma.protocols import make_protocol, write_protocol


def load_config(
    config: str,
    protocol: Mapping[str, Any] | None = None,
    *,
    data_root: str | None = None,
    cfg_options: Iterable[str] = (),
) -> Any:
    """Read a config and write a protocol into it.

    Args:
        config: Path or name of a config file.
        protocol: Flags of :func:`mmma.protocols.make_protocol`.
        data_root: Folder of the data; None keeps the config's.
        cfg_options: ``K=V`` changes, ``+K=V`` additions.

    Returns:
        A ``mmengine.Config`` that runs as it is, with no flag.

    Raises:
        FileNotFoundError: No such config.
        ValueError: A flag, option or value that is not allowed, or an option that
            the protocol overwrites.
    """
    from mmengine.config import Config

    cfg = Config.fromfile(find_config(config))
    applied = apply_options(cfg, cfg_options)
    write_protocol(cfg, make_protocol(cfg.get('protocol', {}), protocol), data_root)
    for key, value in applied.items():
        if get_key(cfg, key) != value:
            raise ValueError(
                f'--cfg-options {key}={value}: this key is written by the protocol '
                f'({key} = {get_key(cfg, key)!r}); use --protocol, --domain, --target, '
                '--shots, --seed or --data-root.'
            )
    return cfg
