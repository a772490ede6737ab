"""Model files: written whole, loaded without running code, checked before anybody uses them."""
