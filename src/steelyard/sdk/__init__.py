"""The one door for programs that buy."""
