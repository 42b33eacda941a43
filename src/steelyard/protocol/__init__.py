"""What all must agree on, byte for byte: records, hashes, trees, verdicts, errors, constants."""
