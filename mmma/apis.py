"""Names for tools and notebooks; those that need torch load when asked for."""

from mmma.config import load_config as load_config

_INFERENCE = ('detect', 'look_at', 'open_model', 'recognize')


def __getattr__(name: str) -> object:
    if name in _INFERENCE:
        from mmma.engine import infer

        return getattr(infer, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
