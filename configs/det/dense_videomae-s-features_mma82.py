# Dense head on features of VideoMAE-S (384 numbers) of untrimmed MMA-82: the pyramid of
# actionformer_videomae-s-features, and scores of all actions at each of 15 positions
# per second; segments are runs of them. The paper has no such row.
# Numbers: as the recipe below; two convolutions of the head are its scoring tower. An
# instance that a window shows in part is true where it is seen (min_visible), as no
# ends are to be found.
# Expected: – (real data not seen). Hardware: –. Hours: –
_base_ = 'actionformer_videomae-s-features_mma82.py'

model = dict(
    head=dict(_delete_=True, type='DenseHead', num_classes=82, label_space='mma82')
)
train_dataloader = dict(dataset=dict(window=dict(min_visible=0.01)))
