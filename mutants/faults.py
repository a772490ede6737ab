"""All faults, a list for a floor or more of the house.

A new one has the text before, once in its file, the text after, and a test that fails with it.
"""

from mutants import (
    in_data,
    in_direct,
    in_exact,
    in_lab,
    in_maths,
    in_metrics,
    in_models,
    in_policies,
    in_rests,
    in_training,
)

_LISTS = (
    *(in_maths, in_exact, in_data, in_metrics, in_models, in_policies, in_training, in_rests),
    *(in_direct, in_lab),
)
FAULTS = [fault for faults in _LISTS for fault in faults.FAULTS]
