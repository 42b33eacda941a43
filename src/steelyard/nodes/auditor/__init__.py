"""The auditor: replays what tickets and juries show it, says what it found, and is paid for being right."""
