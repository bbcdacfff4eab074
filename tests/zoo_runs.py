"""Work dirs as training leaves them, made without training."""

import json

import torch
from mmengine.registry import DefaultScope

import mmma.models  # noqa: F401  (fills the registry)
from mmma.apis import load_config
from mmma.checkpoints.files import read_safetensors_meta
from mmma.registry import MODELS
from mmma.taxonomy import load_label_space

LEAF = 'configs/recog/skeletontcn-tiny_mma82_zeroshot.py'
NAME = 'skeletontcn-tiny_mma82_zeroshot-simulated'
HOME = '/home/ada/mma'  # where the run was, on another machine
LOG = f"""\
2026/01/02 10:00:00 - mmengine - INFO -
------------------------------------------------------------
System environment:
    sys.platform: linux
    Python: 3.11.7 (main) [GCC 12.2.0]
    CUDA_HOME: /usr/local/cuda
    GPU 0,1: NVIDIA H100 80GB HBM3
    OpenCV: 4.10.0.84

Runtime environment:
    GPU number: 2
------------------------------------------------------------
2026/01/02 10:00:01 - mmengine - INFO - Config:
data_root = '{HOME}/data'
work_dir = '{HOME}/runs/a'
2026/01/02 10:10:00 - mmengine - INFO - Epoch(train) [1][3/3]  lr: 1e-3  loss: 4.1
2026/01/02 10:12:00 - mmengine - INFO - Checkpoints will be saved to {HOME}/runs/a.
"""
ROW = {'action/top1': 12.345, 'action/top5': 40.0, 'body/top1': 50.0, 'F1_mean': 9.0}


def make_run(folder, *options, leaf=LEAF, simulated=True, protocol=None, **meta):
    """Write a work dir with a best checkpoint and a log.

    Args:
        folder: Of the run.
        options: Changes of the config, as ``--cfg-options`` takes them.
        leaf: Its config.
        simulated: Whether the data are.
        protocol: Flags of the command line.
        meta: What the checkpoint tells besides; None takes a key away.
    """
    cfg = load_config(leaf, protocol, data_root=f'{HOME}/data', cfg_options=options)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmma'):
        model = MODELS.build(cfg.model)
    space = load_label_space('mma82')
    cfg.work_dir, cfg.pretrain_data, cfg.seen_before = f'{HOME}/runs/a', 'none', []
    told = {
        'mmma_version': '0.1.0',
        'config_name': leaf.rpartition('/')[2],
        'label_space': space.name,
        'classes': list(space.actions),
        'bodies': list(space.bodies),
        'body_of': list(space.body_of),
        'protocol': {**cfg.protocol, 'train_domains': ['lab']},
        'seen_domains': ['lab'],
        'data': {'name': 'mma82', 'fingerprint': 'ab' * 32, 'simulated': simulated},
        'pretrain_data': 'none',
        'selected_on': {'subset': 'val', 'domains': ['lab'], 'metric': 'action/top1'},
        'epoch': 1,
        'cfg': cfg.pretty_text,
        'time': '20260102_101200',
        'experiment_name': 'a',
        'random_state': {'torch': torch.zeros(3)},
        **meta,
    }
    checkpoint = {
        'state_dict': model.state_dict(),
        'meta': {key: value for key, value in told.items() if value is not None},
        'message_hub': {'runtime_info': {'best_score': 12.5, 'seed': 0}},
    }
    log = folder / '20260102_100000' / '20260102_100000.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(LOG)
    torch.save(checkpoint, folder / 'best_action_top1_epoch_1.pth')
    return checkpoint


def make_results(path, weights, sha256, *, leaf=LEAF, protocol=None, **changes):
    """Write results as ``test.py`` would for a published file.

    Args:
        path: File to write.
        weights: The file that was tested.
        sha256: Its hash.
        leaf: The config it was tested with.
        protocol: Flags of the command line.
        changes: Of the contents.
    """
    cfg = load_config(leaf, protocol, data_root=f'{HOME}/data')
    cfg.work_dir = f'{HOME}/runs/a/published'
    targets = cfg.protocol.get('target', ['all'])
    meta = read_safetensors_meta(weights)
    results = {
        'schema': 1,
        'task': cfg.task,
        'name': 'skeletontcn-tiny_mma82',
        'protocol': dict(cfg.protocol),
        'checkpoint': {
            'path': f'{HOME}/{weights.name}',
            'sha256': sha256,
            'simulated': True,
        },
        'data': {'simulated': True, **meta['data']},
        'options': {'subset': 'test', 'fast_dev_run': False},
        'broken': [],
        'config': cfg.to_dict(),
        'runs': [
            {
                'target': t,
                'counts': {'clips': 4, 'videos': 4, 'instances': 4},
                'metrics': dict(ROW),
            }
            for t in targets
        ],
        **changes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results))
    return path
