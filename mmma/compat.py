"""Repairs that let MMAction2 1.2 and MMEngine 0.10 run on today's Python stack.

Beside them stands what ``doctor`` asks of other packages.

Each repair stands behind a probe, so that it touches nothing where upstream works;
``REPAIRS`` lists all of them and :func:`install` applies what is needed, once.
:mod:`mmma.registry` calls it before MMAction2 is imported; ``import mmma`` does not.
"""

import copy
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmma.files import atomic_write, write_file
from mmma.taxonomy import own_table

_DRN = 'mmaction.models.localizers.drn'
_TABLE = own_table('compat')
REQUIRED: dict[str, str] = _TABLE['required']
"""Distributions that every run needs, with their modules."""


@dataclass
class Repair:
    """One repair of an upstream package.

    Attributes:
        reason: What fails without it, and where that was reported.
        needed: Probe; true while the repair is missing.
        apply: Makes the change; afterwards ``needed()`` is false.
        active: Whether this process runs with the repair.
    """

    name: str
    reason: str
    needed: Callable[[], bool]
    apply: Callable[[], None]
    active: bool = False


def install() -> None:
    """Apply every repair that is needed; calling it again changes nothing."""
    for message in _TABLE['noise']:
        warnings.filterwarnings('ignore', message=message)
    with _standing_in():
        for repair in REPAIRS:
            if repair.needed():
                repair.apply()
                repair.active = True
        for module in _TABLE['importers']:
            importlib.import_module(module)


class _StandIn(types.ModuleType):
    """A module that is not imported before something of it is called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)

        def later(cls: type, *args: Any, **kwargs: Any) -> Any:
            if cls is not own:  # a class of upstream's that is based on it
                raise RuntimeError(f'{cls.__name__}: {_TABLE["alone"]}')
            found = importlib.import_module(self.__name__)
            return getattr(found, name)(*args, **kwargs)

        own = type(name, (), {'__new__': later})
        return own


@contextmanager
def _standing_in() -> Iterator[None]:
    """Spare one process what upstream imports for many, which takes half a start."""
    several = {'RANK', 'SLURM_PROCID'} & os.environ.keys()
    names = [] if several else [n for n in _TABLE['later'] if n not in sys.modules]
    stand_ins = {name: _StandIn(name) for name in names}
    for name, module in stand_ins.items():
        module.__path__ = []
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _lacks(module: str) -> bool:
    return module not in sys.modules and importlib.util.find_spec(module) is None


def _put(module: str, name: str, value: Any) -> None:
    setattr(importlib.import_module(module), name, value)


def _folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin).parent if spec and spec.origin else None


def _lacks_drn() -> bool:
    # find_spec of a submodule would import mmaction.models, which is what fails.
    folder = None if _DRN in sys.modules else _folder('mmaction')
    inner = _DRN.partition('.')[2].replace('.', '/')
    return folder is not None and not (folder / inner / 'drn.py').is_file()


def _stub_drn() -> None:
    for name in (_DRN, f'{_DRN}.drn'):
        module = types.ModuleType(name, 'Stands in for a file the wheel lacks.')
        module.__path__ = []
        module.DRN = type('DRN', (), {'__module__': name})  # type: ignore[attr-defined]
        sys.modules[name] = module


def _transformers_major() -> int | None:
    if _lacks('transformers'):
        return None
    return int(importlib.metadata.version('transformers').split('.')[0])


def _offers_multimodal() -> bool:
    major = _transformers_major()
    if major is None or (major < 5 and not _lacks('timm')):
        return False
    from mmaction.utils import dependency

    return bool(dependency.WITH_MULTIMODAL)


def _uses_pkg_resources() -> bool:
    from mmengine.utils import package_utils

    if package_utils.is_installed is is_installed:
        return False
    source = package_utils.is_installed.__code__
    return 'pkg_resources' in source.co_names and _lacks('pkg_resources')


def _replace_package_lookup() -> None:
    # config.config and hub.hub hold the functions by name.
    importlib.import_module('mmengine.config.config')
    from mmengine.utils import package_utils

    ours = (is_installed, get_installed_path, package2module)
    old = {f.__name__: getattr(package_utils, f.__name__) for f in ours}
    for name, module in list(sys.modules.items()):
        for new in ours if name.split('.')[0] == 'mmengine' else ():
            if vars(module).get(new.__name__) is old[new.__name__]:
                setattr(module, new.__name__, new)


def is_installed(package: str) -> bool:
    """True if a distribution or an importable module of this name exists."""
    try:
        return bool(importlib.metadata.distribution(package))
    except importlib.metadata.PackageNotFoundError:
        return _folder(package) is not None


def get_installed_path(package: str) -> str:
    """Folder of the module of a distribution (``mmcv-lite``), or of a module's name.

    Raises:
        ValueError: There is no such package, or it has no folder of its own.
    """
    folder = _folder(package) or _folder(package2module(package))
    if folder is None:
        raise ValueError(f'package {package!r} is not installed: pip install {package}')
    return str(folder)


def package2module(package: str) -> str:
    """First module of a distribution (``mmcv-lite``), or the name itself."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return package
    return (found.read_text('top_level.txt') or package).split()[0]


def _loads_code() -> bool:
    from mmengine.runner.checkpoint import CheckpointLoader

    return CheckpointLoader._schemes[''] is not load_local_weights


def _load_weights_only() -> None:
    from mmengine.runner import checkpoint, runner

    from mmma.checkpoints.files import last_checkpoint

    runner.find_latest_checkpoint = last_checkpoint  # in the folder as it is now
    register = checkpoint.CheckpointLoader.register_scheme
    register('', load_local_weights, force=True)
    register(('pavi://', 's3://', 'petrel://'), refuse_remote_weights, force=True)
    checkpoint.load_url = partial(checkpoint.load_url, weights_only=True)


def load_local_weights(filename: str, map_location: Any = None) -> Any:
    """Load a local checkpoint for MMEngine onto the CPU, whatever it asks for."""
    from mmma.checkpoints import load_weights_file

    return load_weights_file(filename)


def refuse_remote_weights(filename: str, map_location: Any = None) -> Any:
    """Refuse, where MMEngine's loaders of object stores would run what they load."""
    raise ValueError(
        f'{filename}: weights of an object store are not read from there, as that '
        'would run code from them. Copy the file here and name its path.'
    )


def _writes_in_place() -> bool:
    from mmengine.hooks import checkpoint_hook

    return vars(checkpoint_hook).get('open') is not _open_whole


def _write_whole() -> None:
    from mmengine.config import Config, config
    from mmengine.hooks import checkpoint_hook

    checkpoint_hook.open, text = _open_whole, Config.dump
    format_code, known = config.FormatCode, dict[str, Any]()

    def formatted(text: str, **style: Any) -> Any:
        if text not in known:  # yapf takes half a second for it, at each checkpoint
            known.clear()
            known[text] = format_code(text, **style)
        return known[text]

    def dump(self: Any, file: str | Path | None = None) -> str | None:
        if file is None:
            return text(self)
        python = str(file).endswith('.py')
        return write_file(Path(file), self.pretty_text if python else text(self))

    Config.dump, config.FormatCode = dump, formatted


def _open_whole(file: str, mode: str) -> Any:
    return atomic_write(Path(file), mode)


def _draws_at_once() -> bool:
    from mmengine.visualization import Visualizer

    return Visualizer.set_image is not _set_image


def _draw_when_asked() -> None:
    from mmengine.visualization import Visualizer

    def not_yet(self: Any, options: Any) -> Any:
        return None, types.SimpleNamespace(get_dpi=lambda: None), None

    _FIGURE.update(figure=Visualizer._initialize_fig, image=Visualizer.set_image)
    Visualizer._initialize_fig, Visualizer.set_image = not_yet, _set_image


_FIGURE: dict[str, Callable[..., Any]] = {}  # of upstream's visualizer


def _set_image(self: Any, image: Any) -> None:
    if self.ax_save is None:
        canvas, figure, axes = _FIGURE['figure'](self, self.fig_save_cfg)
        self.fig_save_canvas, self.fig_save, self.ax_save = canvas, figure, axes
        self.dpi = figure.get_dpi()
    _FIGURE['image'](self, image)


def _element() -> Any:
    return importlib.import_module('mmengine.structures').BaseDataElement


def _moved(self: Any, *args: Any, **kwargs: Any) -> Any:
    found = copy.copy(self)
    for kind in ('_metainfo_fields', '_data_fields'):
        object.__setattr__(found, kind, set(getattr(self, kind)))
    for key, value in self.items():
        if hasattr(value, 'to'):
            found.set_data({key: value.to(*args, **kwargs)})
    return found


def _needs_cuda_for_gloo() -> bool:
    import torch
    from mmengine.dist import utils

    patched = utils._init_dist_pytorch is _init_dist_cpu
    return not patched and not torch.cuda.is_available()


def _init_dist_cpu(backend: str, init_backend: str = 'torch', **kwargs: Any) -> None:
    from torch import distributed

    # NCCL is MMEngine's default and cannot work here.
    backend = 'gloo' if backend == 'nccl' else backend
    distributed.init_process_group(backend=backend, **kwargs)


def _lacks_name(name: str) -> bool:
    return not hasattr(importlib.import_module('numpy'), name)


def _rename(name: str, current: str) -> None:
    _put('numpy', name, getattr(importlib.import_module('numpy'), current))


_STEPS: dict[str, tuple[Callable[[], bool], Callable[[], Any]]] = {
    'mmaction.drn': (_lacks_drn, _stub_drn),
    'importlib_metadata': (
        partial(_lacks, 'importlib_metadata'),
        partial(sys.modules.setdefault, 'importlib_metadata', importlib.metadata),
    ),
    'multimodal': (
        _offers_multimodal,
        partial(_put, 'mmaction.utils.dependency', 'WITH_MULTIMODAL', False),
    ),
    'pkg_resources': (_uses_pkg_resources, _replace_package_lookup),
    'weights_only': (_loads_code, _load_weights_only),
    'open': (_writes_in_place, _write_whole),
    'figure': (_draws_at_once, _draw_when_asked),
    'to': (
        lambda: _element().to is not _moved,
        lambda: setattr(_element(), 'to', _moved),
    ),
    **{
        f'numpy.{old}': (partial(_lacks_name, old), partial(_rename, old, new))
        for old, new in (('Inf', 'inf'), ('trapz', 'trapezoid'), ('in1d', 'isin'))
    },
    'dist.cpu': (
        _needs_cuda_for_gloo,
        partial(_put, 'mmengine.dist.utils', '_init_dist_pytorch', _init_dist_cpu),
    ),
}
REPAIRS = [Repair(n, _TABLE['repairs'][n], *steps) for n, steps in _STEPS.items()]


def versions() -> dict[str, str]:
    """Versions of the distributions that are needed or used; ``absent`` ones too."""
    found = {}
    for name in (*REQUIRED, *_TABLE['optional']):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = 'absent'
    return found


def shared_folders() -> Iterator[str]:
    """Warn of distributions that write into one and the same folder."""
    everything = importlib.metadata.distributions()
    installed = {d.metadata['Name']: d.version for d in everything}
    opencv = {name: installed[name] for name in _TABLE['opencv'] if name in installed}
    headless = [name.endswith('headless') for name in opencv]
    if len(set(opencv.values())) > 1 or (any(headless) and not all(headless)):
        listed = ', '.join(f'{k} {v}' for k, v in opencv.items())
        yield (
            f'{listed} share the folder cv2, and the last one installed wins: install '
            'the same version of each'
        )
    for pair in _TABLE['same_folder']:
        if all(name in installed for name in pair):
            yield f'{pair[0]} and {pair[1]} share a folder: keep one'
