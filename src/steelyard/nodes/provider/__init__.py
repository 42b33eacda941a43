"""The provider: sells an engine's work, keeps receipts, claims vouchers."""
