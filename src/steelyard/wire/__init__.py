"""The road: how records travel over HTTP, OpenAI shapes, error name <-> status code."""
