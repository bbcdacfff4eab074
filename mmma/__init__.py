"""mmma: data, protocols, baselines and metrics of the MMA-82 micro-action benchmark."""

__version__ = '0.1.0'
_NAMES = (
    *('build_dataset', 'load_config', 'read_root'),
    *('open_model', 'recognize', 'detect', 'from_pretrained'),
    *('train', 'test', 'evaluate', 'command'),
)


def __getattr__(name: str) -> object:
    """Names of ``mmma.apis``, imported when one is asked for."""
    if name not in _NAMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from mmma import apis

    return getattr(apis, name)


def __dir__() -> list[str]:
    return [*globals(), *_NAMES]
