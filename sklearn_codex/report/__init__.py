"""What the command line computes and shows; built on the public API alone."""
