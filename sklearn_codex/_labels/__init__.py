"""What labels mean: conventions, and which of them a whole column follows."""
