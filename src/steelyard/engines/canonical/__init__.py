"""The bit-exact engine: a llama-architecture GGUF in canonical arithmetic (spec/arithmetic.md)."""
