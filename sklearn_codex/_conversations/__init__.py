"""Conversations in any notation: read into messages, parted into prompt and responses, written."""
