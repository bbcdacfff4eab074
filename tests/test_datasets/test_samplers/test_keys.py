"""Keys of samples."""

from mmma.datasets.samplers.keys import SampleKey, as_key


def test_a_plain_index_has_seed_and_epoch_zero():
    assert as_key(5) == SampleKey(0, 0, 5)
    assert as_key(SampleKey(1, 2, 3)) == SampleKey(1, 2, 3, repeat=0)
