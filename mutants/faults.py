"""All faults, a list for a floor or more of the house.

A new one has the text before, once in its file, the text after, and a test that fails with it.
"""

from mutants import in_data, in_lab, in_maths, in_models

FAULTS = [*in_maths.FAULTS, *in_data.FAULTS, *in_models.FAULTS, *in_lab.FAULTS]
