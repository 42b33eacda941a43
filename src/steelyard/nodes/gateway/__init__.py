"""The buyer's own node: OpenAI's API on one side, the market on the other."""
