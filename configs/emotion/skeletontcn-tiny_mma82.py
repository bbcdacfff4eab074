# The compact skeleton model learns the emotion of a clip, not its action
# (docs/emotion.md); all else is that of recog/skeletontcn-tiny_mma82_indomain.py.
# Emotions are drawn equally often: the published test sets have as many videos of each.
# This reproduces nothing.
_base_ = '../recog/skeletontcn-tiny_mma82_indomain.py'

label = 'emotion'
label_space = dict(  # where no data are there, which tell their own
    _delete_=True,
    name='mma82-emotion',
    actions=[
        *(dict(name='anger'), dict(name='disgust'), dict(name='fear')),
        *(dict(name='happy'), dict(name='melancholy'), dict(name='sad')),
        dict(name='surprise'),
    ],
)
train_dataloader = dict(sampler=dict(type='ClassBalancedSampler'))
