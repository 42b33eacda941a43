"""The law: the contracts as Python (committed artifacts, generated bindings) and a small Chain port."""
