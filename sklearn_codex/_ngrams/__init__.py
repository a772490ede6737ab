"""N-grams: which there are, what a document uses of them, and back-off models on them."""
