"""A config of MMAction2 that takes parts of this package by ``custom_imports``."""

import json
import subprocess
import sys

CONFIG = """
default_scope = 'mmaction'
custom_imports = dict(
    imports=['mmma.datasets', 'mmma.models', 'mmma.evaluation.metrics']
)
meta = ('img_shape', 'index', 'clip')
pipeline = [
    dict(type='DecordInit'),
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=2),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(32, 32), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', meta_keys=meta),
]
sampler = dict(type='DefaultSampler', shuffle=False)
loader = dict(batch_size=2, num_workers=0, sampler=sampler)
data = dict(
    type='mmma.ClipDataset', data_root={root!r}, domains=['lab'], pipeline=pipeline
)
train_dataloader = dict(**loader, dataset=dict(**data, subset='train'))
val_dataloader = dict(**loader, dataset=dict(**data, subset='val', test_mode=True))
val_evaluator = dict(type='mmma.RecognitionMetric')
model = dict(
    type='Recognizer2D',
    backbone=dict(type='ResNet', depth=18, pretrained=None, norm_eval=False),
    cls_head=dict(
        type='TSNHead', num_classes=82, in_channels=512, average_clips='prob'
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor', mean=[128] * 3, std=[64] * 3, format_shape='NCHW'
    ),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
work_dir = {work_dir!r}
"""

# As tools/train.py of MMAction2 does it.
TRAIN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile(sys.argv[1])).train()
"""


def test_a_stock_config_trains_with_our_dataset_and_metric(video_root, tmp_path):
    config = tmp_path / 'tsn.py'
    work_dir = tmp_path / 'run'
    config.write_text(CONFIG.format(root=str(video_root), work_dir=str(work_dir)))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', TRAIN, str(config)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert any('action/top1' in row and 'body/mca' in row for row in rows), rows
