# ST-GCN++ of 4 stages from 32 channels, for two CPU cores; sizes are ours. Three frames
# make one step of the network. No data_bn: it would divide by how little each joint
# moves in the training domain, and so blow up every other domain.
model = dict(
    type='RecognizerGCN',
    backbone=dict(
        type='SkeletonSTGCN',
        layout='wholebody65',
        joints='ends31',
        in_channels=4,
        stack_frames=3,
        data_bn_type='none',
        base_channels=32,
        num_stages=4,
        inflate_stages=[3],
        down_stages=[3],
        gcn_adaptive='init',
        gcn_with_res=True,
        tcn_type='mstcn',
    ),
    cls_head=dict(
        type='ActionHead',
        pooling='graph',
        num_classes=82,
        in_channels=64,
        dropout_ratio=0.0,
        label_smooth_eps=0.1,
    ),
)
pretrained = None
