"""Notes on a process."""

import pytest

from resources.errors import ProcessError


def test_note_is_written_and_taken_away(failed):
    engine, process_id = failed
    engine.service.interventions.note(process_id, "n" * 5000, user="ada")
    assert engine.process(process_id).note == "n" * 5000
    with pytest.raises(ProcessError, match="5001 characters; 5000 fit"):
        engine.service.interventions.note(process_id, "n" * 5001, user="ada")
    engine.service.interventions.note(process_id, None, user="ada")
    assert engine.process(process_id).note is None
