# skeletondet-tiny with the dense head: backbone and pyramid of the recipe below, and
# scores of all actions at each of 15 positions per second; segments are runs of them,
# 1.7 M parameters; sizes are ours. The paper has no such model, and this reproduces
# nothing.
# Our own numbers, as of skeletondet-tiny; thresholds and hysteresis of the head, its
# defaults, were chosen on simulated val videos. An instance that a window shows in part
# is true where it is seen (min_visible), as no ends are to be found.
# Expected: – (real data not seen). Hardware: as skeletondet-tiny.
_base_ = 'skeletondet-tiny_mma82.py'

model = dict(
    head=dict(
        _delete_=True,
        type='DenseHead',
        num_classes=82,
        label_space='mma82',
        in_channels=128,
        feat_channels=128,
        num_convs=1,
        levels='all',
        loss='focal',
    )
)
train_dataloader = dict(dataset=dict(window=dict(min_visible=0.01)))
