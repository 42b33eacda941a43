"""The work done: engines that can be asked for their state at any step."""
