import pytest

from mmma.engine.inference_results import InferenceOptions


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'threshold': 1.5}, 'threshold 1.5: use a score from 0 to 1'),
        ({'threshold': -0.1}, 'threshold -0.1'),
        ({'device': 'cuda:99'}, "unknown device 'cuda:99': use one of cpu"),
        ({'device': 'cpux'}, "Did you mean 'cpu'"),
    ],
)
def test_bad_options(options, text):
    with pytest.raises(ValueError, match=text):
        InferenceOptions(**options)


def test_thresholds_of_both_tasks():
    assert InferenceOptions().threshold_of('rec') == 0
    assert InferenceOptions().threshold_of('det') == 0.2
    assert InferenceOptions(threshold=0.0).threshold_of('det') == 0
    assert InferenceOptions(threshold=0.7).threshold_of('rec') == 0.7
