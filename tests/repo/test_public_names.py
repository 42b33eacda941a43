"""What programs may import from `steelyard.sdk`: a name that goes breaks somebody, so it goes with this list."""

import inspect

import steelyard.sdk

PUBLIC = {
    "Answer": ("id", "text", "finish", "prompt_tokens", "completion_tokens", "cost_micro", "receipt"),
    "Client": ("base_url", "api_key", "timeout"),
    "Finding": ("check", "status", "sentence"),
    "Piece": ("text", "answer"),
    "ReceiptDocument": None,
    "Status": None,
    "check": ("raw",),
    "holds": ("findings",),
    "verify": ("receipt",),
}
METHODS = {"chat", "models", "receipt", "stream", "verify"}


def test_the_sdk_shows_what_it_promised() -> None:
    assert sorted(steelyard.sdk.__all__) == sorted(PUBLIC)
    for name, parameters in PUBLIC.items():
        shown = getattr(steelyard.sdk, name)
        if parameters is not None:
            assert tuple(inspect.signature(shown).parameters) == parameters, name


def test_the_client_has_the_methods_that_it_promised() -> None:
    found = {name for name in vars(steelyard.sdk.Client) if not name.startswith("_")}
    assert found == METHODS
