"""No wrong file ends in an error from the depths, and none takes the machine."""

import pytest
from byte_readers import READERS as BYTES
from fuzzing import fuzz
from text_readers import READERS as TEXTS

CASES = 300


@pytest.mark.parametrize('reader', TEXTS + BYTES, ids=lambda reader: reader.name)
def test_wrong_files_are_read_or_refused(reader):
    outcome = fuzz(reader, range(CASES))
    assert not outcome.faults
    wrong = outcome.counts['refused'] or not reader.refuses
    assert wrong, 'nothing was refused: are these cases wrong?'
    assert outcome.counts['right'] + outcome.counts['refused'] == CASES
