import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from mmma import compat, registry  # noqa: F401

NAMES = [repair.name for repair in compat.REPAIRS]


def undo_drn(monkeypatch):
    for name in [m for m in sys.modules if m.startswith(compat._DRN)]:
        monkeypatch.delitem(sys.modules, name)


def undo_importlib_metadata(monkeypatch):
    monkeypatch.delitem(sys.modules, 'importlib_metadata', raising=False)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda _: None)


def undo_multimodal(monkeypatch):
    from mmaction.utils import dependency

    monkeypatch.setattr(compat, '_transformers_major', lambda: 5)
    monkeypatch.setattr(dependency, 'WITH_MULTIMODAL', True)


def undo_package_lookup(monkeypatch):
    from mmengine.utils import package_utils

    for name in ('is_installed', 'get_installed_path', 'package2module'):
        monkeypatch.setattr(package_utils, name, getattr(package_utils, name))
    importlib.reload(package_utils)
    monkeypatch.setattr(compat, '_lacks', lambda _: True)


def undo_weights_only(monkeypatch):
    from mmengine.runner import checkpoint

    schemes = dict(checkpoint.CheckpointLoader._schemes)
    schemes[''] = checkpoint.load_from_local
    monkeypatch.setattr(checkpoint.CheckpointLoader, '_schemes', schemes)
    monkeypatch.setattr(checkpoint, 'load_url', torch.hub.load_state_dict_from_url)


def undo_figure(monkeypatch):
    from mmengine.visualization import Visualizer

    for name, key in (('_initialize_fig', 'figure'), ('set_image', 'image')):
        monkeypatch.setattr(Visualizer, name, compat._FIGURE[key])


def undo_dist(monkeypatch):
    from mmengine.dist import utils

    monkeypatch.setattr(utils, '_init_dist_pytorch', lambda *_: None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def undo_open(monkeypatch):
    from mmengine.config import Config
    from mmengine.hooks import checkpoint_hook

    monkeypatch.setattr(checkpoint_hook, 'open', open)
    monkeypatch.setattr(Config, 'dump', Config.dump)


UNDO = {
    'mmaction.drn': undo_drn,
    'importlib_metadata': undo_importlib_metadata,
    'multimodal': undo_multimodal,
    'pkg_resources': undo_package_lookup,
    'weights_only': undo_weights_only,
    'open': undo_open,
    'figure': undo_figure,
    'to': lambda m: m.setattr(BaseDataElement, 'to', lambda *_: None),
    'numpy.Inf': lambda m: m.delattr(np, 'Inf', raising=False),
    'numpy.trapz': lambda m: m.delattr(np, 'trapz', raising=False),
    'numpy.in1d': lambda m: m.delattr(np, 'in1d', raising=False),
    'dist.cpu': undo_dist,
}


def uses_drn():
    return importlib.import_module('mmaction.models.localizers.drn.drn').DRN


def uses_importlib_metadata():
    module = importlib.reload(importlib.import_module('mmaction.utils.dependency'))
    return module.satisfy_requirement('mmengine>=0.10')


def uses_multimodal():
    from mmaction.utils import dependency

    return not dependency.WITH_MULTIMODAL


def uses_package_lookup():
    from mmengine.utils import package_utils

    installed = map(package_utils.is_installed, ['mmcv-lite', 'mmcv', 'no_such_thing'])
    path = package_utils.get_installed_path('mmcv-lite')
    return list(installed) == [True, True, False] and path.endswith('mmcv')


def uses_weights_only():
    from mmengine.runner import checkpoint

    loader_of = checkpoint.CheckpointLoader._get_checkpoint_loader
    stores = {loader_of(f'{store}://a.pth') for store in ('pavi', 's3', 'petrel')}
    return (
        loader_of('a.pth') is compat.load_local_weights
        and stores == {compat.refuse_remote_weights}
        and checkpoint.load_url.keywords == {'weights_only': True}
    )


def writes_whole():
    from mmengine.config import Config
    from mmengine.hooks import checkpoint_hook

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'a.py')
        path.write_text('a = 1')
        with checkpoint_hook.open(str(path), 'w') as file:
            file.write('half')
            kept = path.read_text()
        inode = path.stat().st_ino
        (path.parent / 'b.json').write_text('{"a": 2}')
        cfg = Config.fromfile(path.parent / 'b.json')
        (path.parent / 'b.json').write_text('')
        for name in ('a.py', 'b.json'):
            cfg.dump(str(path.parent / name))
        told = path.read_text(), (path.parent / 'b.json').read_text()
        return kept == 'a = 1' and path.stat().st_ino != inode and told == (
            'a = 2\n', '{"a": 2}',
        )  # fmt: skip


def draws_when_asked():
    from mmengine.visualization import Visualizer

    plain = Visualizer()
    assert plain.ax_save is None
    plain.set_image(np.zeros((8, 9, 3), np.uint8))
    plain.draw_circles(torch.tensor([4, 4]), torch.tensor([2]), face_colors='w')
    image = plain.get_image()
    return image.shape == (8, 9, 3) and image.any() and not image.all()


def moves_tensors_alone():
    sample = BaseDataElement(metainfo={'names': ['a']}, x=torch.ones(1), n=[1])
    sample.y = BaseDataElement(z=torch.ones(1))
    moved = sample.to(torch.float64)
    moved.set_metainfo({'more': 1})
    moved.w = 2
    tensors = moved.x, moved.y.z
    kept = sample.x.dtype == torch.float32 and not {'more', 'w'} & {*sample.all_keys()}
    same = moved.names is sample.names and moved.n is sample.n
    return kept and same and {t.dtype for t in tensors} == {torch.float64}


def uses_trapz():
    from mmaction.evaluation.functional import accuracy

    truth = {'v': np.array([[0.0, 1.0], [2.0, 3.0]])}
    proposals = {'v': np.array([[0.0, 1.0, 0.9], [2.0, 3.0, 0.8], [5.0, 6.0, 0.1]])}
    area = accuracy.average_recall_at_avg_proposals(truth, proposals, 6)[3]
    return area == pytest.approx(75)


def uses_dist():
    from mmengine.dist import utils

    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder, 'meeting').as_uri()
        utils._init_dist_pytorch('nccl', init_method=meeting, rank=0, world_size=1)
        backend = torch.distributed.get_backend()
        torch.distributed.destroy_process_group()
    return backend == 'gloo'


USE = {
    'mmaction.drn': uses_drn,
    'importlib_metadata': uses_importlib_metadata,
    'multimodal': uses_multimodal,
    'pkg_resources': uses_package_lookup,
    'weights_only': uses_weights_only,
    'open': writes_whole,
    'figure': draws_when_asked,
    'to': moves_tensors_alone,
    'numpy.Inf': lambda: np.Inf == float('inf'),
    'numpy.trapz': uses_trapz,
    'numpy.in1d': lambda: np.in1d([1, 2], [2]).tolist() == [False, True],
    'dist.cpu': uses_dist,
}


@pytest.mark.parametrize('name', NAMES)
def test_repair(name, monkeypatch):
    repair = next(r for r in compat.REPAIRS if r.name == name)
    assert not repair.needed()
    with monkeypatch.context() as patch:
        UNDO[name](patch)
        assert repair.needed()
        repair.apply()
        assert not repair.needed()
        assert USE[name]()
    compat.install()
    assert not repair.needed()


def test_install_twice_changes_nothing():
    before = [repair.active for repair in compat.REPAIRS]
    compat.install()
    assert [repair.active for repair in compat.REPAIRS] == before


SLOW = 'scipy.stats', 'scipy.optimize', 'matplotlib', 'torch.distributed.fsdp'
ALONE = f"""
import sys
from mmma import registry
import mmma.engine.test, mmma.engine.train
print([name for name in {SLOW} if name in sys.modules])
from mmaction.datasets.transforms.pose_transforms import get_mode
print(get_mode([3, 5, 5])[0][0])
from torch.distributed.fsdp import FullyShardedDataParallel as Torchs
from mmengine.model import MMFullyShardedDataParallel as Theirs
print(issubclass(Theirs, Torchs))
try:
    Theirs(1)
except RuntimeError as error:
    print(error)
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize('rank', [{}, {'RANK': '0'}], ids=['one', 'several'])
def test_one_process_imports_what_it_uses(rank):
    done = subprocess.run(
        [sys.executable, '-c', ALONE],
        capture_output=True, text=True, env={**os.environ, **rank},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    slow, mode, theirs, told = done.stdout.splitlines()
    assert mode == '5'
    if rank:
        assert 'torch.distributed.fsdp' in slow
        assert theirs == 'True'
        assert 'torchrun' not in told
    else:
        assert slow == '[]'
        assert theirs == 'False'
        assert 'torchrun' in told


def test_upstream_imports_quietly():
    code = (
        'from mmma import registry\n'
        'import mmaction.models, mmaction.datasets, mmaction.evaluation\n'
        'import mmaction.apis, mmengine.hub\n'
    )
    # torch 2.4 leaves a temporary folder to the garbage collector.
    shown = ['-W', 'default', '-W', 'ignore::ResourceWarning']
    done = subprocess.run(
        [sys.executable, *shown, '-c', code], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, '')
    # torch 2.4 says this one whatever the filters are.
    said = [s for s in done.stderr.splitlines() if 'functional optimizers' not in s]
    assert [
        s for s in said if s.strip() != 'from torch.distributed.optim import \\'
    ] == []


def test_configs_of_other_packages_are_found(tmp_path):
    from mmengine.config import Config

    path = tmp_path / 'a.py'
    path.write_text("_base_ = ['mmaction::_base_/default_runtime.py']\n")
    assert 'default_hooks' in Config.fromfile(path)


def test_package_without_a_folder():
    with pytest.raises(ValueError, match=r'no_such_thing.* is not installed: pip inst'):
        compat.get_installed_path('no_such_thing')
    assert compat.package2module('no_such_thing') == 'no_such_thing'


def test_local_weights(tmp_path):
    path = tmp_path / 'a.pth'
    with pytest.raises(FileNotFoundError, match=r'a\.pth: no such file'):
        compat.load_local_weights(str(path))
    torch.save({'w': torch.ones(1)}, path)
    assert compat.load_local_weights(str(path), 'cpu')['w'] == 1
    torch.save({'w': Path('a')}, path)
    with pytest.raises(ValueError, match=r'not plain weights.*--trust-checkpoint'):
        compat.load_local_weights(str(path))
    with pytest.raises(ValueError, match=r's3://b/a\.pth: .* Copy the file here'):
        compat.refuse_remote_weights('s3://b/a.pth')
