"""Those who serve: provider, gateway, auditor. The one place where a verdict meets money."""
