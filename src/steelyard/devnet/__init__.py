"""A whole market on one machine: chain, nodes and named liars, the demo and the benches."""
