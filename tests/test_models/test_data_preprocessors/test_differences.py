import pytest
import torch

from mmma.models.data_preprocessors import FrameDifferencePreprocessor

NORM = dict(mean=[100.0, 110.0, 120.0], std=[10.0, 20.0, 40.0])


def make_batch(shape, num=2):
    torch.manual_seed(0)
    inputs = [torch.randint(256, shape, dtype=torch.uint8) for _ in range(num)]
    return dict(inputs=inputs, data_samples=[None] * num)


def test_frames_become_steps_to_the_next_within_a_view():
    batch = make_batch((6, 3, 4, 5))  # two views of three frames
    model = FrameDifferencePreprocessor(num_frames=3, **NORM)
    found = model(dict(batch))['inputs']
    assert found.shape == (2, 6, 3, 4, 5)
    x = torch.stack(batch['inputs']).float()
    std = torch.tensor(NORM['std']).view(3, 1, 1)
    for start in (0, 3):
        for k, (a, b) in enumerate([(1, 0), (2, 1), (2, 1)]):
            expected = (x[:, start + a] - x[:, start + b]) / std
            torch.testing.assert_close(found[:, start + k], expected)


def test_volumes():
    batch = make_batch((2, 3, 4, 5, 6))  # views, C, T, H, W
    model = FrameDifferencePreprocessor(num_frames=4, format_shape='NCTHW', **NORM)
    found = model(dict(batch))['inputs']
    assert found.shape == (2, 2, 3, 4, 5, 6)
    x = torch.stack(batch['inputs']).float()
    std = torch.tensor(NORM['std']).view(3, 1, 1)
    torch.testing.assert_close(
        found[..., 2, :, :], (x[:, :, :, 3] - x[:, :, :, 2]) / std
    )
    torch.testing.assert_close(found[..., 3, :, :], found[..., 2, :, :])


def test_what_stands_still_is_zero():
    frame = make_batch((1, 3, 4, 5), num=1)['inputs'][0]
    still = dict(inputs=[frame.expand(8, -1, -1, -1)], data_samples=[None])
    model = FrameDifferencePreprocessor(num_frames=8, **NORM)
    assert model(still)['inputs'].abs().max() == 0


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(num_frames=1), 'num_frames is 1: a difference takes 2'),
        (dict(num_frames=8, format_shape='NHWC'), "format_shape .*'NHWC'"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(ValueError, match=message):
        FrameDifferencePreprocessor(**given)


@pytest.mark.parametrize(
    ('shape', 'options'),
    [((6, 3, 4, 5), {}), ((1, 3, 8, 5, 6), dict(format_shape='NCTHW'))],
)
def test_samples_of_another_length(shape, options):
    model = FrameDifferencePreprocessor(num_frames=4, **options)
    with pytest.raises(ValueError, match=r'\d frames are no views of 4: make num_fr'):
        model(make_batch(shape))
