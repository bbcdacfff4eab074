import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample

from mmma.datasets.transforms.heatmap import FormatKeypoints
from mmma.models.data_preprocessors import HeatmapPreprocessor
from mmma.registry import TRANSFORMS

FormatShape, GeneratePoseTarget = map(
    TRANSFORMS.get, ('FormatShape', 'GeneratePoseTarget')
)

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no GPU'))]  # fmt: skip


def make_clip(seed, size=(32, 32), joints=17):
    rng = np.random.default_rng(seed)
    score = rng.random((2, 8, joints)) * (rng.random((2, 8, joints)) > 0.2)
    keypoint = rng.uniform(-3, 35, (2, 8, joints, 2))
    return dict(
        keypoint=keypoint.astype(np.float32),
        keypoint_score=score.astype(np.float32),
        num_clips=2,
        clip_len=4,
        img_shape=size,
    )


def batch_of(clips):
    packed = [FormatKeypoints().transform(dict(clip))['keypoint'] for clip in clips]
    samples = [ActionDataSample(metainfo=dict(img_shape=c['img_shape'])) for c in clips]
    return dict(inputs=[torch.from_numpy(p) for p in packed], data_samples=samples)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('limbs', [None, 'body17'])
def test_the_volumes_of_two_upstream_steps(limbs, device):
    clips = [make_clip(seed) for seed in range(3)]
    model = HeatmapPreprocessor(limbs=limbs).to(device)
    data = model(batch_of(clips), training=True)
    assert data['inputs'].shape == (3, 2, 17, 4, 32, 32)
    draw = GeneratePoseTarget(
        with_kp=limbs is None,
        with_limb=limbs is not None,
        skeletons=model.channels.limbs or (),
    )
    shape = FormatShape('NCTHW_Heatmap')
    expected = [shape.transform(draw.transform(dict(clip)))['imgs'] for clip in clips]
    np.testing.assert_allclose(data['inputs'].cpu(), expected, rtol=0, atol=1e-5)
    assert len(data['data_samples']) == 3


def test_pictures_of_one_size():
    clips = [make_clip(0), make_clip(1, size=(32, 40))]
    with pytest.raises(ValueError, match=r'\(32, 40\).* in one batch: resize all'):
        HeatmapPreprocessor()(batch_of(clips))
