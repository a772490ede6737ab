"""The list of planted faults is true: it fits the source and names tests that there are."""

from pathlib import Path

import pytest

faults = pytest.importorskip("mutants.faults", reason="faults are beside the tests, not installed")
FAULTS = faults.FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_fault_fits_the_source_and_its_test_is_there(fault):
    assert fault.fits, f"{fault.before!r} is not once in {fault.path}"
    compile(fault.source(), fault.path, "exec")
    file, *_, name = fault.test.split("[")[0].split("::")
    assert f"def {name}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")


def test_faults_are_distinct_and_in_many_rooms():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.before != fault.after for fault in FAULTS)
    assert len({fault.room.split("/")[0] for fault in FAULTS}) > 15
