"""Kinds of work: each ties an engine, a way of checking and a way of paying."""
