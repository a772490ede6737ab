"""Numbers, matrices, groups and labels as they come in: told, validated, refused with a reason."""
