"""Figures for Prometheus, in a registry of the gateway's own."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from steelyard.nodes.gateway.purchase import Bought

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counters and times; names begin with `steelyard_gateway_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        name = "steelyard_gateway_"
        self._answers = Counter(name + "answers", "Receipts accepted", ["model"], registry=registry)
        self._units = Counter(name + "units", "Units bought", ["model", "direction"], registry=registry)
        self._spent = Counter(name + "spent_micro_tokens", "Promised by vouchers", ["model"], registry=registry)
        self._failures = Counter(name + "provider_failures", "By rule", ["rule"], registry=registry)
        self._requests = Counter(name + "requests", "Client requests", ["path", "status"], registry=registry)
        self._first = Histogram(
            name + "first_unit_seconds", "From order to first unit", ["model"], buckets=SECONDS, registry=registry
        )

    def bought(self, bought: Bought) -> None:
        """A receipt was accepted."""
        model = bought.placed.listed.model
        self._answers.labels(model).inc()
        self._units.labels(model, "in").inc(bought.placed.order.prompt_units)
        self._units.labels(model, "out").inc(len(bought.answer) - len(bought.placed.prefix))
        self._spent.labels(model).inc(bought.price)

    def failed(self, rule: str) -> None:
        """A provider failed; unknown rules are a provider's words and share one label."""
        self._failures.labels(rule if rule.startswith(("peer.", "provider.")) else "refused").inc()

    def request(self, path: str, status: int) -> None:
        """A client was answered."""
        self._requests.labels(path, str(status)).inc()

    def first_unit(self, model: str, seconds: float) -> None:
        """The first unit of an answer came."""
        self._first.labels(model).observe(seconds)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
