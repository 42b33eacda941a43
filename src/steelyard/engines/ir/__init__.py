"""The definition of a computation: maps and folds over strided views, every scalar operation fixed (spec/ir.md)."""
