"""Measurements of our parts beside somebody else's: what the README's figures and bench/*.json come from."""
