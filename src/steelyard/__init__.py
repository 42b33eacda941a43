"""Steelyard: an open market for AI work in which nobody has to be trusted."""
